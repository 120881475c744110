"""A registry that sends a byte now and then is given up when its time is over, wherever it is slow."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from dockgate.scanner.images.auth import Authorizer
from dockgate.scanner.images.registry import RegistrySource
from dockgate.scanner.images.time_limit import TimeLimit
from dockgate.scanner.images.transport import Transport
from dockgate.scanner.registry_reference import parse_remote
from dockgate.shared.errors import TooSlowError

DIGEST = "sha256:" + "1" * 64
SILENT_ANSWERS = {
    "before the answer": b"",
    "in the answer's head": b"HTTP/1.1 200 OK\r\nX-Long: a",
    "in a body with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc",
    "in a body without a length": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1",
}


class Clock:
    """Tells that the time is over when the test says so."""

    def schedule(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        self.end = work
        return lambda: None


@contextmanager
def run_silent_registry(first_bytes: bytes, after_sending: Callable[[], None]) -> Iterator[str]:
    """A registry that sends so much, and then nothing; `after_sending` is called once that was sent."""
    listening = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            open_connections.append(connection)
            if not connection.recv(65536).startswith(b"GET"):
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")  # the answer to a TLS handshake
                connection.close()
                continue
            connection.sendall(first_bytes)
            after_sending()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in open_connections:
            connection.close()
        thread.join()


@pytest.mark.parametrize("name", SILENT_ANSWERS)
def test_a_registry_is_given_up_when_its_time_is_over(name: str) -> None:
    clock = Clock()
    with run_silent_registry(SILENT_ANSWERS[name], lambda: clock.end()) as registry:
        transport = Transport(
            registry, None, False, lambda _: None, limit=TimeLimit(registry, 60, clock.schedule), timeout=60
        )
        reference = parse_remote(f"{registry}/shop@{DIGEST}")
        authorizer = Authorizer(transport, registry, "shop", lambda: None)
        with closing(RegistrySource(reference, transport, authorizer)) as origin, pytest.raises(TooSlowError):
            _read(origin)


def _read(origin: RegistrySource) -> None:
    with origin.open_blob(DIGEST) as blob:
        while blob.read(1000):
            pass
