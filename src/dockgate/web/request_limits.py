"""Limits of requests: the size of bodies, and nothing ambiguous."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dockgate.services.identity.first_admin import LINK_PATH, REPLACEMENT_PATH
from dockgate.shared.errors import TooLargeError, UsageError
from dockgate.shared.strict_json import RepeatedNameError, parse_json

# Bytes of a call's JSON or YAML.
MAX_BODY = 1 << 20
# Bytes of a VEX document, a report of another scanner, or a registry notification.
MAX_UPLOAD = 8 << 20
# Bytes of a form that needs no session.
MAX_OPEN_FORM = 8 << 10
_OPEN_FORMS = ("/signin", LINK_PATH, REPLACEMENT_PATH)
_UPLOADS = re.compile(r"/registry/.*|(/api/v1)?/vex|/api/v1/images/[^/]+/findings")
_ESCAPED_NUL = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
# Headers that must not be repeated: a proxy might use the first and this server the last.
_SINGLE = (
    *("authorization", "content-encoding", "content-length", "content-type", "git-protocol", "host"),
    *("idempotency-key", "if-match", "if-none-match", "origin", "transfer-encoding", "x-forwarded-proto"),
)


class BodySizeLimit:
    """A limit for bodies: reading one that exceeds its path's limit raises TooLargeError.

    Git has its own limits.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI), and count the bytes of its body while they are read."""
        if scope["type"] != "http" or scope["path"].startswith("/git/"):
            await self._app(scope, receive, send)
            return
        limit = _find_limit(scope["path"])
        announced_length = dict(scope["headers"]).get(b"content-length", b"0")
        received_bytes = int(announced_length) if announced_length.isdigit() and int(announced_length) > limit else 0

        async def receive_within_limit() -> Message:
            nonlocal received_bytes
            if received_bytes > limit:  # by Content-Length: read nothing
                raise TooLargeError(f"the request body exceeds {limit} bytes", "Send a smaller body.")
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > limit:
                raise TooLargeError(f"the request body exceeds {limit} bytes", "Send a smaller body.")
            return message

        await self._app(scope, receive_within_limit, send)


def _find_limit(path: str) -> int:
    """The most bytes of a body for this path."""
    if path in _OPEN_FORMS:
        return MAX_OPEN_FORM
    return MAX_UPLOAD if _UPLOADS.fullmatch(path) else MAX_BODY


# The only repeatable parameters: the scopes of a registry token ("Token Authentication Specification"), and the filters
# of images that have several values.
_REPEATABLE = {
    ("/registry/token", "scope"),
    *((path, name) for path in ("/api/v1/images", "/images") for name in ("severity", "status")),
}


def require_unambiguous(body: bytes) -> None:
    """Raise UsageError for JSON with an object that has a name twice: others may read the first value."""
    try:
        parse_json(body)
    except RepeatedNameError as error:
        raise UsageError(f"the request body can be read in two ways: {error}", "Send each key once.") from None
    except (ValueError, RecursionError):
        return  # FastAPI reports what is not JSON


def require_storable(body: bytes) -> None:
    """Raise UsageError for JSON with characters that databases cannot store: NUL and lone surrogates."""
    if not _ESCAPED_NUL.search(body):
        return
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False).replace("\\\\", "")
        text.encode()
    except (ValueError, RecursionError) as error:
        if not isinstance(error, UnicodeEncodeError):
            return  # not JSON: FastAPI reports that
        text = "\\u0000"
    if "\\u0000" in text:
        raise UsageError("the request body contains NUL or a lone surrogate", "Send valid Unicode.")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that no route sees: its status, what is wrong, and the next step."""

    status: int
    error: str
    advice: str


def refuse_ambiguous(request: Request) -> Refusal | None:
    """Refuse repeated headers or parameters, and compressed bodies. None for other requests."""
    headers = Counter(name.decode("latin-1") for name, _ in request.scope["headers"])
    repeated_parts = [f"the header {name}" for name in _SINGLE if headers[name] > 1]
    names = Counter(name for name, _ in parse_qsl(request.url.query, keep_blank_values=True))
    repeated_parts += [
        f"the parameter {name[:100]!r}"
        for name, count in names.items()
        if count > 1 and (request.url.path, name) not in _REPEATABLE
    ]
    if repeated_parts:
        return Refusal(400, f"the request repeats {repeated_parts[0]}", "Send it once.")
    if "\0" in request.url.path or "\0" in "".join(names) or "%00" in request.url.query:
        return Refusal(400, "the URL contains a NUL character", "Remove it.")
    if headers["content-encoding"] and not request.url.path.startswith("/git/"):
        return Refusal(415, "compressed bodies are not accepted", "Send it uncompressed.")
    return None
