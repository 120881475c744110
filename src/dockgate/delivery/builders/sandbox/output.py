"""Read the output of a build's process, within limits of time and size."""

import math
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from typing import IO

from dockgate.shared.errors import BuildError

# Bytes of log that a line counts for, however short: a log's page numbers each.
LINE_COST = 64
# Bytes; a longer line of output is logged in pieces.
_LONGEST_LINE = 16 * 1024
# Lines of output in an error.
_LAST_LINES = 12
# Bytes that the kernel keeps of a pipe (fcntl(2); at most that for users other than root), and bytes per read.
_PIPE_SIZE = 2**20
_CHUNK_SIZE = 2**16


class BuildLog:
    """A build's output, passed to `log` several lines at a time, up to `limit` bytes. It keeps the end."""

    def __init__(self, log: Callable[[Sequence[str]], None], limit: int) -> None:
        self._log = log
        self.limit = limit
        self._size = 0
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def last_lines(self) -> str:
        """The last lines of the output, joined by newlines, for the message of a failed build."""
        return "\n".join(self._last_lines)

    def add(self, raw_lines: Iterable[bytes]) -> None:
        """Take lines.

        Once there are too many bytes, those within the limit are logged, and BuildError is raised.
        """
        lines = []
        for raw in raw_lines:
            self._size += max(len(raw) + 1, LINE_COST)
            if self._size > self.limit:
                break
            lines.append(raw.decode(errors="replace").rstrip("\r"))
        if lines:
            self._last_lines.extend(lines)
            self._log(lines)
        if self._size > self.limit:
            raise _make_limit_error(f"the build wrote more than {self.limit} bytes of log")


class _DrainedPipe:
    """A pipe that a thread reads, so that its writers never wait for the log.

    podman relays what a RUN instruction prints. If the pipe is full when the instruction ends, podman drops the rest.
    """

    def __init__(self, pipe: IO[bytes], limit: float) -> None:
        """Start to read. The thread stops after more than `limit` bytes."""
        self._pipe = pipe
        self._limit = limit
        self._buffer = bytearray()
        self._has_ended = False
        self._condition = threading.Condition()
        with suppress(OSError):
            fcntl(pipe, F_SETPIPE_SZ, _PIPE_SIZE)
        threading.Thread(target=self._drain, name="build output", daemon=True).start()

    def _drain(self) -> None:
        size = 0
        with suppress(OSError, ValueError):  # closed
            while size <= self._limit and (chunk := os.read(self._pipe.fileno(), _CHUNK_SIZE)):
                size += len(chunk)
                with self._condition:
                    self._buffer += chunk
                    self._condition.notify()
        with self._condition:
            self._has_ended = True
            self._condition.notify()

    def read(self) -> bytes:
        """Wait for output, and return what came since the last call, at most 1 MiB. b"" at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._buffer or self._has_ended)
            output = bytes(self._buffer[:_PIPE_SIZE])
            del self._buffer[:_PIPE_SIZE]
        return output


def _split_lines(read: Callable[[], bytes]) -> Iterator[list[bytes]]:
    """Yield the complete lines of each piece of output; longer ones than _LONGEST_LINE in parts."""
    partial_line = b""
    while output := read():
        *lines, partial_line = (partial_line + output).split(b"\n")
        if len(partial_line) > _LONGEST_LINE:
            lines, partial_line = [*lines, partial_line], b""
        yield [
            line[start : start + _LONGEST_LINE]
            for line in lines
            for start in range(0, max(len(line), 1), _LONGEST_LINE)
        ]
    if partial_line:
        yield [partial_line]


def watch(
    process: "subprocess.Popen[bytes]",
    log: BuildLog | None,
    seconds: float,
    kill: Callable[[], None],
    stdin: bytes | None = None,
) -> None:
    """Send `stdin` to the process, and pass its output to `log` until it has ended.

    `kill` ends it, and is called for a passed limit and for any error. Raises BuildError for a passed limit.
    """
    has_timed_out = threading.Event()

    def expire() -> None:
        has_timed_out.set()
        kill()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        with process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            pipe = _DrainedPipe(process.stdout, math.inf if log is None else log.limit)
            try:
                if process.stdin is not None and stdin is not None:
                    with suppress(BrokenPipeError):
                        process.stdin.write(stdin)
                        process.stdin.close()
                for lines in _split_lines(pipe.read):
                    if log is not None:
                        log.add(lines)
            except BaseException:
                kill()
                raise
    finally:
        timer.cancel()
    if has_timed_out.is_set():
        raise _make_limit_error(f"the build took longer than {seconds:g} s")


def _make_limit_error(reason: str) -> BuildError:
    return BuildError(reason, "Ask the server's operator to raise the limit, or make the build smaller.")
