"""Calls of a server's application without sockets, for tests that make thousands of calls."""

import asyncio
from typing import Any
from urllib.parse import unquote

import httpx
import uvicorn
from starlette.types import ASGIApp, Message, Scope


class AppTransport(httpx.BaseTransport):
    """Have the application of a server answer a client's calls in the server's event loop.

    Of a stream of events only the head is read.
    """

    def __init__(self, app: ASGIApp, web: uvicorn.Server) -> None:
        self._app = app
        self._loop = web.servers[0].get_loop()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        parts: list[Message] = [{"type": "http.request", "body": request.read(), "more_body": False}]
        head: dict[str, Any] = {}
        chunks: list[bytes] = []
        is_read = asyncio.Event()

        async def receive() -> Message:
            if parts:
                return parts.pop()
            await is_read.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                head.update(message)
                is_stream = b"text/event-stream" in dict(message["headers"]).get(b"content-type", b"")
            else:
                chunks.append(message.get("body", b""))
                is_stream = False
            if is_stream or not message.get("more_body", True):
                is_read.set()

        await self._app(make_scope(request), receive, send)
        return httpx.Response(head["status"], headers=head["headers"], content=b"".join(chunks), request=request)


def make_scope(request: httpx.Request) -> Scope:
    """What a web server says of a request (ASGI)."""
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": unquote(raw_path.decode()),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": (request.url.host, request.url.port),
        "state": {},
    }
