"""`dockgate up` and `down`: one process with its children, its data in one folder."""

import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import uvicorn

from dockgate.bootstrap import connections, log_tail
from dockgate.bootstrap.assemble import Services, assemble
from dockgate.bootstrap.listening import LOOPBACK, Listening, demand_principals, listening
from dockgate.bootstrap.polling import Poller, pollers
from dockgate.bootstrap.private import KEPT, restrict
from dockgate.bootstrap.server import Server
from dockgate.config import Settings
from dockgate.core.errors import ConflictError, UnavailableError, UsageError
from dockgate.pipeline.effects import Observer, unobserved
from dockgate.pipeline.parts import Parts
from dockgate.web.app import create_app, create_inside

START_SECONDS = 60
STOP_SECONDS = 30


def up(settings: Settings, detach: bool, patience: float = START_SECONDS) -> None:
    """Runs the server until it is told to stop; with `detach`, starts it in the background, and returns when it
    answers. One that does not within `patience`, in seconds, is ended: UnavailableError."""
    if detach:
        _start_in_background(settings, patience)
    else:
        run(settings)


def run(
    settings: Settings, observe: Observer = unobserved, alter: Callable[[Parts], Parts] = lambda parts: parts
) -> None:
    """The server itself, until SIGTERM; KeyboardInterrupt on SIGINT. However it ends, what it started has ended.

    `observe` and `alter` are for tests: they see every effect, and exchange parts for others.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for talkative in ("botocore", "httpx"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    if settings.port == settings.registry_port:
        raise UsageError(f"API and registry cannot both have port {settings.port}", "Give `--registry-port` another.")
    restrict(settings.data)
    running = settings.data / "run"
    running.mkdir(mode=0o700, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)
    with suppress(_ToldToEnd), ExitStack() as stack:
        stack.enter_context(_alone(running / "lock"))
        place = listening(settings)
        demand_principals(place, settings)
        inside = stack.enter_context(_socket())
        url = f"http://{LOOPBACK}:{inside.getsockname()[1]}"
        services = stack.enter_context(Services(settings, _secret(running / "registry-secret"), url))
        server = assemble(settings, services, place.url, stack, observe, alter)
        stack.callback((running / "server.json").unlink, missing_ok=True)
        _serve(place, inside, server, pollers(settings, server), running / "server.json")


def _serve(place: Listening, inside: socket.socket, server: Server, queues: Sequence[Poller], status: Path) -> None:
    """Answers until it is told to end. Raises UnavailableError when it cannot listen."""
    config = uvicorn.Config(
        create_app(server, place.beyond),
        host=place.host,
        port=place.port,
        ssl_certfile=place.certificate,
        ssl_keyfile=place.key,
        proxy_headers=bool(place.proxies),
        forwarded_allow_ips=list(place.proxies),
        **connections.settings(),
    )
    web = _Web(config, lambda: status.write_text(_identity(server.url)))
    with _inside(inside, server), _polled(queues):
        server.engine.launch()
        try:
            web.run()
        except SystemExit:  # uvicorn's own way to say so; its reason is in the log
            raise UnavailableError(
                f"this server cannot listen at {place.host}:{place.port}",
                "If the port is taken, give `--port` another.",
            ) from None


@contextmanager
def _polled(queues: Sequence[Poller]) -> Iterator[None]:
    try:
        for poller in queues:
            poller.start()
        yield
    finally:
        for poller in queues:
            poller.close()


@contextmanager
def _inside(listener: socket.socket, server: Server) -> Iterator[None]:
    """Listens on loopback for the registry and podman, over plain HTTP, from before the engine starts work until it has
    ended: what is deployed meanwhile still needs its token to be pulled."""
    web = uvicorn.Server(uvicorn.Config(create_inside(server), proxy_headers=False, **connections.settings()))
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listener]}, name="inside")
    thread.start()
    try:
        yield
    finally:
        server.engine.close()
        web.should_exit = True
        thread.join()


def _socket() -> socket.socket:
    """A free port of loopback. Whoever connects before it is served waits."""
    made = socket.socket()
    made.bind((LOOPBACK, 0))
    made.listen()
    return made


class _ToldToEnd(BaseException):
    """By SIGTERM. Uvicorn ends at the signal first, then hands it on."""


def _end(_signal: int, _frame: object) -> None:
    raise _ToldToEnd


class _Web(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], object]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


def _identity(url: str) -> str:
    """What server.json holds."""
    return json.dumps({"pid": os.getpid(), "url": url, "started": _started(os.getpid())})


def down(settings: Settings, purge: bool) -> None:
    """Stops the server of this data folder; what it deployed runs on. `purge` removes that too, and all data."""
    found = _running(settings.data)
    if found is not None:
        os.kill(found, signal.SIGTERM)
        _wait_until(lambda: _started(found) is None, STOP_SECONDS, f"the server (process {found}) does not stop")
    if purge and settings.data.exists():
        if not (settings.data / "run" / "lock").exists():
            raise UsageError(
                f"{settings.data} is no data folder of Dockgate", "Set DOCKGATE_DATA to the one to remove."
            )
        with _alone(settings.data / "run" / "lock"):
            Services.purge(settings)
            for path in [path for pattern in KEPT for path in settings.data.glob(pattern)]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with suppress(OSError):  # somebody else's files are in it
            settings.data.rmdir()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Only one server works on a data folder: two would do every step twice."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"another server works on {lock.parent.parent}", "Stop it with `dockgate down`, or set DOCKGATE_DATA."
            ) from None
        yield


def _secret(path: Path) -> str:
    """What the registry shows with its notifications; made once."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        fresh.replace(path)
    return path.read_text()


def _started(pid: int) -> str | None:
    """When a process started, as the kernel counts it (proc(5), field 22); None when there is none. With the number it
    names a process for good, numbers alone are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _running(data: Path) -> int | None:
    """The server of this data folder, None when there is none."""
    try:
        status = json.loads((data / "run" / "server.json").read_text())
    except (OSError, ValueError):
        return None
    pid = int(status["pid"])
    return pid if _started(pid) == status["started"] else None


def _start_in_background(settings: Settings, patience: float) -> None:
    listening(settings)
    if _running(settings.data) is not None:
        raise ConflictError(f"a server works on {settings.data} already", "`dockgate down` stops it.")
    restrict(settings.data)
    log = settings.data / "logs" / "server.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_start = log_tail.size(log)
    with log.open("a") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dockgate", "up"),
                *("--host", settings.host),
                *("--port", str(settings.port)),
                *("--registry-port", str(settings.registry_port)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready() -> bool:
        if process.poll() is not None:
            last = "\n".join(log_tail.last_lines(log, 5, log_start))
            raise UnavailableError(f"the server ended with code {process.returncode}:\n{last}", f"See {log}.")
        return _running(settings.data) == process.pid

    try:
        _wait_until(ready, patience, f"the server did not answer within {patience:g} seconds, and was ended; see {log}")
    except BaseException:  # whoever interrupts the waiting means the server, too
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise UnavailableError(otherwise)
        time.sleep(0.1)
