"""What a request may send: bodies of bounded size, and nothing that can be read in two ways."""

import json
import re
from collections import Counter
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dockgate.shared.errors import TooLargeError, UsageError

# Bytes of a call's JSON or YAML.
MAX_BODY = 1 << 20
# Bytes of a VEX document, of another scanner's findings, or of a registry's notification of many pushes.
MAX_UPLOAD = 8 << 20
_UPLOADS = re.compile(r"/registry/.*|/api/v1/vex|/api/v1/images/[^/]+/findings")
_ESCAPED = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
# Headers that decide something: a proxy before us may look at the first and we at the last, or the other way round.
_SINGLE = (
    *("authorization", "content-encoding", "content-length", "content-type", "git-protocol", "host"),
    *("idempotency-key", "if-match", "if-none-match", "origin", "transfer-encoding", "x-forwarded-proto"),
)


class BodyLimit:
    """Raises TooLargeError while a body is read that is larger than its path may have; git has limits of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/git/"):
            await self._app(scope, receive, send)
            return
        limit = MAX_UPLOAD if _UPLOADS.fullmatch(scope["path"]) else MAX_BODY
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(announced) if announced.isdigit() and int(announced) > limit else 0

        async def limited() -> Message:
            nonlocal received
            if received > limit:  # announced: nothing of it is read
                raise TooLargeError(f"a body of more than {limit} bytes", "Send less.")
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise TooLargeError(f"a body of more than {limit} bytes", "Send less.")
            return message

        await self._app(scope, limited, send)


# The one parameter that clients send several times: a registry's scopes ("Token Authentication Specification").
_REPEATED = ("/registry/token", "scope")


def require_storable(body: bytes) -> None:
    """Raise UsageError for JSON with characters that no database stores: NUL, and halves of surrogate pairs."""
    if not _ESCAPED.search(body):
        return
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False).replace("\\\\", "")
        text.encode()
    except (ValueError, RecursionError) as error:
        if not isinstance(error, UnicodeEncodeError):
            return  # it is no JSON, which FastAPI will say
        text = "\\u0000"
    if "\\u0000" in text:
        raise UsageError("the body has characters that are not accepted: NUL or half a pair", "Send valid Unicode.")


def refuse_ambiguous(request: Request) -> Response | None:
    """The answer to a request that says something twice, or sends a compressed body to a call that takes none."""
    headers = Counter(name.decode("latin-1") for name, _ in request.scope["headers"])
    twice = [f"the header {name}" for name in _SINGLE if headers[name] > 1]
    names = Counter(name for name, _ in parse_qsl(request.url.query, keep_blank_values=True))
    twice += [
        f"the parameter {name[:100]!r}"
        for name, count in names.items()
        if count > 1 and (request.url.path, name) != _REPEATED
    ]
    if headers["content-length"] and headers["transfer-encoding"]:
        twice.append("the length of the body")
    if twice:
        return JSONResponse({"error": f"the request has {twice[0]} twice", "advice": "Send it once."}, 400)
    if "\0" in request.url.path or "\0" in "".join(names) or "%00" in request.url.query:
        return JSONResponse({"error": "the URL has a NUL character", "advice": "Send it without."}, 400)
    if headers["content-encoding"] and not request.url.path.startswith("/git/"):
        return JSONResponse({"error": "compressed bodies are not accepted", "advice": "Send it uncompressed."}, 415)
    return None
