"""Headers that every answer has, unless what made it says otherwise."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A cookie opens an answer to its owner alone, but caches do not see that from the request: without a word, the browser
# of the next person and a proxy may keep it. Nothing of another site may show it in a frame, or take it for a script.
_DEFAULTS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def add_default_headers(headers: MutableHeaders) -> None:
    """Add the headers that an answer lacks."""
    for name, value in _DEFAULTS.items():
        headers.setdefault(name, value)


class DefaultHeadersMiddleware:
    """A middleware that adds the headers that an answer lacks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_default_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
