"""A web server on loopback, or at a socket file, whose answers a test writes itself: registries that misbehave, token
servers, engines."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TLS_HANDSHAKE = b"\x16"


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Answer:
    """`cut` leaves out that many bytes of the body at its end, and breaks the connection off, or, with `stalls`, sends
    nothing more."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    stalls: bool = False


@dataclass
class Server:
    """`address` is "127.0.0.1:PORT" or the socket file's path; `requests` are those that came, TLS handshakes aside."""

    address: str
    requests: list[Request] = field(default_factory=list)


class _AtPath(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers at a socket file."""


@contextmanager
def serve(answer: Callable[[Request], Answer], path: Path | None = None) -> Iterator[Server]:
    """Answers until the block ends, at the socket file `path` or a free port. A TLS handshake gets what a server
    without TLS says."""
    server: Server
    has_ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            if self.rfile.peek(1)[:1] == TLS_HANDSHAKE:  # type: ignore[attr-defined]
                self.rfile.read1(65536)
                self.wfile.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                self.close_connection = True
                return
            super().handle_one_request()

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers.items()), body)
            server.requests.append(request)
            response = answer(request)
            self.send_response(response.status)
            for name, value in {"Content-Length": str(len(response.body)), **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body[: len(response.body) - response.cut])
            if response.stalls:
                has_ended.wait()
            self.close_connection = bool(response.cut)

        do_GET = do_POST = do_PUT = do_HEAD = do_CONNECT = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    if path:
        listener: socketserver.BaseServer = _AtPath(str(path), Handler)
        server = Server(str(path))
    else:
        listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server = Server(f"127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        has_ended.set()
        listener.shutdown()
        thread.join()
        listener.server_close()


def as_json(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
