"""A server of canned JSON on loopback, which records its requests."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class RecordedRequest:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]

    def parse_body(self) -> Any:
        return json.loads(self.body)


@dataclass
class FakeServer:
    """`answers` maps "GET /path" (below /api/v1) to a value, or to a function of the request. Anything else is a 404.

    A value that is a (status, value) tuple is answered with that status; bytes are sent as they are.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[RecordedRequest] = field(default_factory=list)
    url: str = ""

    def answer(self, request: RecordedRequest) -> tuple[int, Any]:
        self.requests.append(request)
        key = f"{request.method} {request.path}"
        if key not in self.answers:
            return 404, {"error": f"there is no {request.path}", "advice": "Look elsewhere."}
        planned_answer = self.answers[key]
        value = planned_answer(request) if isinstance(planned_answer, Callable) else planned_answer  # type: ignore[arg-type]
        return value if isinstance(value, tuple) else (200, value)


@contextmanager
def serve_answers() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(parts.path).removeprefix("/api/v1")
            status, value = fake.answer(
                RecordedRequest(self.command, path, dict(parse_qsl(parts.query)), body, dict(self.headers.items()))
            )
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            with suppress(ConnectionError):  # the client may have been interrupted
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
