"""Read layers in parallel: in processes if possible, otherwise in threads.

Walking a tar file keeps the interpreter busy. Threads overlap inflating and waiting for a registry.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from dockgate.scanner.cache.layer_cache import LayerCache
from dockgate.scanner.layer_index import LayerFacts
from dockgate.scanner.ports import Layer

# Layers that are handed out to processes: a pipe holds that many, and no real image comes near.
TICKETS = 10_000


def read_all(cache: LayerCache, layers: Sequence[Layer], *, is_local: bool) -> Iterator[LayerFacts]:
    """Yield the layers' facts as they come, as many at once as there are processors.

    `is_local`: the layers lie on this machine, so that other processes can read them too. Raises UnavailableError.
    """
    workers = min(len(layers), os.cpu_count() or 1)
    if workers < 2:
        yield from map(cache.read, layers)
    elif is_local and _has_one_thread():
        yield from _read_in_processes(cache, layers, workers)
    else:
        yield from _read_in_threads(cache.read, layers, workers)


def _has_one_thread() -> bool:
    """Return whether this process has one thread: with others it must not be forked."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _read_in_processes(cache: LayerCache, layers: Sequence[Layer], worker_count: int) -> Iterator[LayerFacts]:
    """Let child processes read layers into the cache.

    Layers that are missing from it afterwards (the cache is not writable, the layer is broken) are read here.
    """
    read_end, write_end = os.pipe()
    os.write(write_end, b"".join(at.to_bytes(2) for at in range(min(len(layers), TICKETS))))
    os.close(write_end)
    children: list[int] = []
    try:
        for _ in range(worker_count - 1):
            child = os.fork()
            if child == 0:
                _read_in_child(cache, layers, read_end)
            children.append(child)
        own_layers = set()
        while ticket := os.read(read_end, 2):
            at = int.from_bytes(ticket)
            own_layers.add(at)
            yield cache.read(layers[at])
        for child in children.copy():
            os.waitpid(child, 0)
            children.remove(child)
    finally:
        os.close(read_end)
        for child in children:
            import signal  # slow, and most scans end no child

            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    for at, layer in enumerate(layers):
        if at not in own_layers:
            yield cache.find(layer) or cache.read(layer)


def _read_in_child(cache: LayerCache, layers: Sequence[Layer], read_end: int) -> None:
    """Read layers in a child process, then exit. The parent reads again, and reports, what fails here."""
    try:
        while ticket := os.read(read_end, 2):
            with suppress(Exception):
                cache.read(layers[int.from_bytes(ticket)])
    finally:
        os._exit(0)


def _read_in_threads(
    read_layer: Callable[[Layer], LayerFacts], layers: Sequence[Layer], worker_count: int
) -> Iterator[LayerFacts]:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(worker_count) as pool:
        try:
            for future in as_completed([pool.submit(read_layer, layer) for layer in layers]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
