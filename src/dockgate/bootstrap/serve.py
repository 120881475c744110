"""The server's process: it and its children work on one data folder until it is told to end."""

import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import uvicorn

from dockgate.bootstrap.assemble import Services, assemble
from dockgate.bootstrap.queues import pollers
from dockgate.config import Settings
from dockgate.server import connections
from dockgate.server.background import alone, identity
from dockgate.server.bind_config import LOOPBACK, Listening, listening, require_principals
from dockgate.server.log_format import start_logging
from dockgate.server.polling import Poller
from dockgate.server.private_files import restrict
from dockgate.services.dependencies import Dependencies
from dockgate.services.effects import Observer, unobserved
from dockgate.services.server import Server
from dockgate.shared.errors import UnavailableError, UsageError
from dockgate.web.app import create_app, create_internal_app


def run(
    settings: Settings,
    observe: Observer = unobserved,
    alter: Callable[[Dependencies], Dependencies] = lambda parts: parts,
) -> None:
    """The server itself, until SIGTERM; KeyboardInterrupt on SIGINT. However it ends, what it started has ended.

    `observe` and `alter` are for tests: they see every effect, and exchange parts for others.
    """
    start_logging()
    if settings.port == settings.registry_port:
        raise UsageError(f"API and registry cannot both have port {settings.port}", "Give `--registry-port` another.")
    restrict(settings.data)
    running = settings.data / "run"
    running.mkdir(mode=0o700, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)
    with suppress(_ToldToEnd), ExitStack() as stack:
        stack.enter_context(alone(running / "lock"))
        place = listening(settings)
        require_principals(place, settings)
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
    web = _Web(config, lambda: status.write_text(identity(server.url)))
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
    web = uvicorn.Server(uvicorn.Config(create_internal_app(server), proxy_headers=False, **connections.settings()))
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


def _secret(path: Path) -> str:
    """What the registry shows with its notifications; made once."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        fresh.replace(path)
    return path.read_text()
