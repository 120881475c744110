"""A bound on what a request may send, git's packs apart: nobody fills our memory."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dockgate.core.errors import UsageError

MOST = 8 << 20
"""bytes; the registry may tell of many pushes at once"""


class BodyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/git/"):
            await self._app(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST:
                raise UsageError(f"a body of more than {MOST} bytes", "Send less.")
            return message

        await self._app(scope, limited, send)
