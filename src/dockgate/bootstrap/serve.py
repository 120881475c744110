"""The server's process: it and its children work on one data folder until SIGTERM or SIGINT."""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from dockgate.bootstrap.adapters import make_adapters, make_options, make_pollers, open_blobs
from dockgate.bootstrap.assemble import AssembledServer, assemble
from dockgate.bootstrap.dependencies import Adapters
from dockgate.config import Settings
from dockgate.delivery.labels import Labels
from dockgate.server import connections
from dockgate.server.bind_config import (
    ListenAddress,
    PublicRegistry,
    read_listen_address,
    read_public_registry,
    require_principals,
)
from dockgate.server.daemon import lock_folder, make_identity
from dockgate.server.local_programs import LocalPrograms
from dockgate.server.log_format import start_logging
from dockgate.server.polling import Poller
from dockgate.server.private_files import restrict
from dockgate.server.shared_folder import SharedFolder, create_once
from dockgate.services.clock import DatabaseClock
from dockgate.services.durable_effects import Observer, observe_nothing
from dockgate.shared.addresses import LOOPBACK
from dockgate.shared.errors import UnavailableError, UsageError
from dockgate.shared.host_port import HostPort
from dockgate.shared.interfaces import override
from dockgate.store import open_store
from dockgate.web.app import create_app, create_internal_app
from dockgate.web.registry_proxy import RegistryNames, RegistryProxy
from dockgate.workflows.leases import DEFAULT_TIMES, LeaseTimes
from dockgate.workflows.queues import WorkKind

# How long a worker's main thread sleeps at once: its other threads work.
_PAUSE_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessHooks:
    """The hooks of tests in a process: `observe` sees every effect, `replace_adapters` its adapters."""

    observe: Observer = observe_nothing
    replace_adapters: Callable[[Adapters], Adapters] = lambda adapters: adapters
    lease_times: LeaseTimes = DEFAULT_TIMES


_NO_HOOKS = ProcessHooks()


def run(settings: Settings, hooks: ProcessHooks = _NO_HOOKS, on_ready: Callable[[], None] = lambda: None) -> None:
    """Run the server until SIGTERM; KeyboardInterrupt on SIGINT.

    Stops the programs that it started, however it ends. `on_ready` is called as soon as it listens.
    """
    with _prepare_process(settings) as (stack, run_folder):
        listen_address = read_listen_address(settings)
        require_principals(listen_address, settings)
        app, internal_listener = _start(stack, settings, listen_address, tuple(WorkKind), {}, hooks)
        stack.callback((run_folder / "server.json").unlink, missing_ok=True)
        _serve(
            listen_address,
            internal_listener,
            app,
            make_pollers(settings, app.services),
            run_folder / "server.json",
            on_ready,
        )


def run_worker(settings: Settings, queues: tuple[str, ...], labels: Labels, hooks: ProcessHooks = _NO_HOOKS) -> None:
    """Take work from these queues until SIGTERM, or until the worker is drained.

    KeyboardInterrupt on SIGINT. It has a registry and podman of its own, and the database and the shared folder of its
    servers. UsageError without Postgres, UnavailableError where the shared folder is not that of the database.
    """
    if not (settings.database_url or "").startswith("postgresql"):
        raise UsageError(
            "a worker needs the Postgres database of its servers",
            "Set DOCKGATE_DATABASE_URL and DOCKGATE_SHARED to their values. A server on SQLite does all work itself.",
        )
    with _prepare_process(settings) as (stack, _):
        app, internal_listener = _start(stack, settings, read_listen_address(settings), queues, labels, hooks)
        with _serve_internal_app(internal_listener, app):
            app.background.launch()
            _log.info("this worker takes work from %s", ", ".join(queues))
            while True:  # a signal that arrives just before a pause is handled after it
                time.sleep(_PAUSE_SECONDS)


@contextmanager
def _prepare_process(settings: Settings) -> Iterator[tuple[ExitStack, Path]]:
    """Set up logs and signals, lock the data folder, and yield an ExitStack and the folder `run`."""
    start_logging()
    if settings.port == settings.registry_port:
        raise UsageError(f"API and registry cannot both have port {settings.port}", "Set `--registry-port` to another.")
    restrict(settings.data)
    run_folder = settings.data / "run"
    run_folder.mkdir(mode=0o700, exist_ok=True)
    signal.signal(signal.SIGTERM, _terminate)
    with suppress(_Termination), ExitStack() as stack:
        stack.enter_context(lock_folder(run_folder / "lock"))
        yield stack, run_folder


def _start(
    stack: ExitStack,
    settings: Settings,
    listen_address: ListenAddress,
    queues: tuple[str, ...],
    labels: Labels,
    hooks: ProcessHooks,
) -> tuple[AssembledServer, socket.socket]:
    """Start the local programs, open the store, and make the application.

    Returns it with its internal listener.
    """
    public_registry = read_public_registry(settings)
    internal_listener = stack.enter_context(_open_loopback_socket())
    url = f"http://{LOOPBACK}:{internal_listener.getsockname()[1]}"
    store = open_store(settings.shared_data, settings.database_url, open_blobs(settings), settings.disk_limits)
    stack.callback(store.close)
    shared_folder = SharedFolder(settings.shared_data, store)
    shared_folder.require()  # before anything is put into it
    secret = _read_registry_secret(settings.shared_data / "run" / "registry-secret")
    programs = stack.enter_context(LocalPrograms(settings, secret, url))
    adapters = hooks.replace_adapters(make_adapters(settings, programs, listen_address.url, store))

    def check_folder_and_clock() -> None:
        shared_folder.require()
        if isinstance(adapters.clock, DatabaseClock):
            adapters.clock.correct()

    def drain() -> None:
        app.background.drain()
        os.kill(os.getpid(), signal.SIGTERM)

    app = assemble(
        adapters,
        make_options(settings, programs, listen_address.url, queues, labels),
        hooks.observe,
        on_drain=lambda: threading.Thread(target=drain, name="drain", daemon=True).start(),
        check=check_folder_and_clock,
        lease_times=hooks.lease_times,
    )
    stack.callback(app.background.close)
    if public_registry is not None:
        stack.enter_context(_serve_public_registry(app, programs, public_registry))
    return app, internal_listener


def _serve(
    listen_address: ListenAddress,
    internal_listener: socket.socket,
    app: AssembledServer,
    pollers: Sequence[Poller],
    server_file: Path,
    on_ready: Callable[[], None],
) -> None:
    """Answer requests until a signal. Raises UnavailableError when it cannot listen."""
    config = uvicorn.Config(
        create_app(app.services, listen_address.is_public),
        host=listen_address.host,
        port=listen_address.port,
        ssl_certfile=listen_address.certificate,
        ssl_keyfile=listen_address.key,
        proxy_headers=bool(listen_address.proxies),
        forwarded_allow_ips=list(listen_address.proxies),
        **connections.make_settings(),
    )

    def announce() -> None:
        server_file.write_text(make_identity(app.services.addresses.url))
        _log.info("ready at %s", app.services.addresses.console_url)
        on_ready()

    web = _AnnouncingServer(config, announce)
    with _serve_internal_app(internal_listener, app), _poll_queues(pollers):
        app.background.launch()
        try:
            web.run()
        except SystemExit:  # uvicorn's own way to say so; its reason is in the log
            raise UnavailableError(
                f"this server cannot listen at {HostPort(listen_address.host, listen_address.port)}",
                "If the port is in use, set `--port` to another.",
            ) from None


@contextmanager
def _poll_queues(pollers: Sequence[Poller]) -> Iterator[None]:
    try:
        for poller in pollers:
            poller.start()
        yield
    finally:
        for poller in pollers:
            poller.close()


@contextmanager
def _serve_internal_app(listener: socket.socket, app: AssembledServer) -> Iterator[None]:
    """Serve the registry and podman on loopback over plain HTTP.

    It starts before the background work and ends after it: images that are deployed meanwhile are pulled with a token.
    """
    config = uvicorn.Config(create_internal_app(app.services), proxy_headers=False, **connections.make_settings())
    with _serve_in_thread(config, listener, "internal"):
        try:
            yield
        finally:
            app.background.close()


@contextmanager
def _serve_public_registry(app: AssembledServer, programs: LocalPrograms, public: PublicRegistry) -> Iterator[None]:
    """Serve the registry to other machines. Raises UnavailableError where it cannot listen."""
    try:
        family = socket.AF_INET6 if ":" in public.listen.host else socket.AF_INET
        listener = socket.create_server(public.listen, family=family, backlog=2048)
    except OSError as error:
        raise UnavailableError(
            f"the registry cannot listen on {public.listen}: {error.strerror}",
            "Stop what uses the port, or give DOCKGATE_REGISTRY_LISTEN another.",
        ) from error
    names = RegistryNames(programs.registry, programs.realm, public.address, public.realm, app.services.addresses.url)
    proxy = RegistryProxy(app.services.registries.pulls, programs.tokens, names)
    config = uvicorn.Config(
        proxy,
        ssl_certfile=public.certificate,
        ssl_keyfile=public.key,
        proxy_headers=False,
        **connections.make_settings(),
    )
    with listener, _serve_in_thread(config, listener, "public registry"):
        yield


@contextmanager
def _serve_in_thread(config: uvicorn.Config, listener: socket.socket, name: str) -> Iterator[None]:
    """Serve an application in a thread."""
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listener]}, name=name)
    thread.start()
    try:
        yield
    finally:
        web.should_exit = True
        thread.join()


def _open_loopback_socket() -> socket.socket:
    """A socket on a free loopback port. Clients that connect before it is served wait."""
    listener = socket.socket()
    listener.bind((LOOPBACK, 0))
    listener.listen()
    return listener


class _Termination(BaseException):
    """SIGTERM came. Uvicorn ends at the signal first, then raises it again."""


def _terminate(_signal: int, _frame: object) -> None:
    raise _Termination


class _AnnouncingServer(uvicorn.Server):
    """A web server that calls `on_listening` once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening()


def _read_registry_secret(path: Path) -> str:
    """The secret that the registry sends with its notifications; made once, by one of the servers that share it."""
    create_once(path, lambda: secrets.token_urlsafe(32))
    return path.read_text()
