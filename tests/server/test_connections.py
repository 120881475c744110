"""Clients that keep the server waiting are disconnected, and no others."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
import uvicorn
from tests.parts import wait_until
from tests.ports import find_free_port

from dockgate.server import connections
from dockgate.server.connections import Patience, PatientProtocol

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = Patience(head=0.3, body=0.3, rate=1e6, write=0.3, linger=0.3)
LONG = Patience(head=600, body=600, rate=1, write=600, linger=600)
# The path of the request that is being answered, None before.
_path: ContextVar[str | None] = ContextVar("path", default=None)


async def answer_request(
    scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Reads the body of a POST and answers; answers GET /large with more than sockets hold.

    The answer is "no" if the context is that of another request.
    """
    answer = b"ok" if _path.get() is None else b"no"
    _path.set(scope["path"])
    has_more = scope["method"] == "POST" and scope["path"] != "/refused"
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        has_more = message["more_body"]
    size = 1 << 20
    length = size * 64 if scope["path"] == "/large" else 2
    headers = [(b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/large":
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": answer})


@contextmanager
def run_server(patience: Patience, **options: Any) -> Iterator[tuple[int, uvicorn.Server]]:
    class Protocol(PatientProtocol):
        pass

    Protocol.patience = patience
    port = find_free_port()
    config = {**connections.make_settings(), "http": Protocol, "lifespan": "off", "timeout_keep_alive": 1, **options}
    server = uvicorn.Server(uvicorn.Config(answer_request, host="127.0.0.1", port=port, **config))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield port, server
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize(
    "sent_bytes", [b"", GET[:20], GET + GET[:20], HEAD, HEAD + b"x" * 99, HEAD + b"x" * 100 + HEAD]
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(sent_bytes: bytes) -> None:
    with run_server(SHORT) as (port, _), connect(port) as connection:
        connection.sendall(sent_bytes)
        assert read_to_end(connection).count(b"HTTP/1.1 200") == (sent_bytes.startswith(GET)) + (
            HEAD + b"x" * 100 in sent_bytes
        )


def test_a_client_that_reads_nothing_is_given_up() -> None:
    with run_server(SHORT) as (port, server), connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        with connect(port) as second:  # it holds up no other client
            second.sendall(GET)
            assert second.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: not server.server_state.connections)
        assert len(read_to_end(connection)) < 64 << 20


def test_the_rest_of_a_body_that_was_refused_is_not_read_for_ever() -> None:
    with run_server(SHORT) as (port, _), connect(port) as connection:
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")


def test_a_slow_client_is_served_as_long_as_it_sends() -> None:
    with run_server(LONG) as (port, _), connect(port) as connection:
        for _ in range(2):
            for part in (HEAD[:10], HEAD[10:], b"x" * 50, b"x" * 50):
                connection.sendall(part)
                threading.Event().wait(0.05)
            assert connection.recv(12) == b"HTTP/1.1 200"
            while not connection.recv(65536).endswith(b"ok"):
                pass


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_head_beyond_the_limit_is_refused(end: bytes) -> None:
    with run_server(LONG) as (port, _), connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * connections.MAX_HEAD + end)
        assert read_to_end(connection).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


@pytest.mark.parametrize("path", [b"/", b"/refused"])
@pytest.mark.parametrize(
    "lengths",
    [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\ncontent-length: 5"],
)
def test_nothing_is_read_behind_a_body_with_two_lengths(path: bytes, lengths: bytes) -> None:
    """A proxy that goes by the other length passes on what follows as a part of the body."""
    with run_server(LONG) as (port, _), connect(port) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n0\r\n\r\n%s" % (path, lengths, GET))
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_body_of_many_tiny_chunks_is_refused(is_answered: bool) -> None:
    path = b"/refused" if is_answered else b"/"
    with run_server(LONG) as (port, _), connect(port) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
        while is_answered and not connection.recv(65536).endswith(b"ok"):
            pass
        connection.sendall(b"1\r\nx\r\n" * 2 * connections.FREE_CHUNKS)
        assert read_to_end(connection).startswith(b"" if is_answered else b"HTTP/1.1 400")


def test_a_malformed_body_is_no_error_of_the_application(caplog: pytest.LogCaptureFixture) -> None:
    with run_server(LONG) as (port, _), connect(port) as connection:
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 400")
    assert caplog.messages == ["Invalid HTTP request received."]


def test_a_body_of_many_chunks_is_accepted() -> None:
    chunk = b"%x\r\n%s\r\n" % (connections.MIN_CHUNK, b"x" * connections.MIN_CHUNK)
    with run_server(LONG) as (port, _), connect(port) as connection:
        for chunks in (b"1\r\nx\r\n" * connections.FREE_CHUNKS, chunk * 3 * connections.FREE_CHUNKS):
            connection.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
            )
            assert connection.recv(12) == b"HTTP/1.1 200"
            while not connection.recv(65536).endswith(b"ok"):
                pass


def test_beyond_so_many_connections_a_request_is_refused_at_once() -> None:
    with run_server(LONG, limit_concurrency=2) as (port, server), connect(port) as first:
        first.sendall(HEAD)
        wait_until(lambda: server.server_state.tasks)
        with connect(port) as second:
            second.sendall(GET)
            assert second.recv(12) == b"HTTP/1.1 503"


@pytest.mark.parametrize("sent_bytes", [b"", GET])
def test_idle_connections_do_not_shut_out_other_clients(sent_bytes: bytes) -> None:
    """The oldest of those that wait for a request make room."""
    limit = connections.SPARE_CONNECTIONS + 12
    with run_server(LONG, limit_concurrency=limit, timeout_keep_alive=600) as (port, server), ExitStack() as stack:
        for _ in range(2 * limit):
            connection = stack.enter_context(connect(port))
            if sent_bytes:
                connection.sendall(sent_bytes)
                assert b"200 OK" in connection.recv(4096)
        last = stack.enter_context(connect(port))
        last.sendall(GET)
        assert b"200 OK" in last.recv(4096)
        assert len(server.server_state.connections) < limit


def test_a_request_inherits_nothing_from_the_one_before_on_its_connection() -> None:
    with run_server(LONG) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(GET + GET)
        answers = b""
        while answers.count(b"\r\n\r\n") < 2 or not answers.endswith((b"ok", b"no")):
            answers += connection.recv(1 << 16)
    assert answers.count(b"\r\n\r\nok") == 2, answers
