"""The server's knowledge of a browser: its cookies, which are all set here, and its requests."""

import base64
import json

from fastapi import Request, Response

from dockgate.shared.errors import DeniedError

_COOKIE = "dockgate-session"
_SIGN_IN_COOKIE = "dockgate-signin"
# The prefix binds a cookie to TLS and to this host (RFC 6265bis, "Cookie Name Prefixes").
_SECURE_PREFIX = "__Host-"
# How long a person may take at the identity provider.
SIGN_IN_SECONDS = 600
SAFE_METHODS = frozenset({"GET", "HEAD"})


def read_cookie(request: Request, name: str) -> str | None:
    """The value of a cookie that `set_cookie` set, or None."""
    return request.cookies.get(_make_cookie_name(request, name))


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Have the browser keep a cookie, out of reach of scripts and other sites, and over TLS for TLS alone."""
    response.set_cookie(
        _make_cookie_name(request, name),
        value,
        max_age=seconds,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def clear_cookie(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    response.delete_cookie(
        _make_cookie_name(request, name), path="/", secure=request.url.scheme == "https", httponly=True
    )


def read_session_secret(request: Request) -> str | None:
    """The secret of the request's session, or None."""
    return read_cookie(request, _COOKIE)


def set_session(request: Request, response: Response, secret: str, seconds: int) -> None:
    """Have the browser keep the session, out of reach of scripts and of other sites."""
    set_cookie(request, response, _COOKIE, secret, seconds)


def clear_session(request: Request, response: Response) -> None:
    """Have the browser forget the session."""
    clear_cookie(request, response, _COOKIE)


def read_sign_in_fields(request: Request) -> list[object]:
    """Return what `set_sign_in` put into the browser, no fields for anything else."""
    text = read_cookie(request, _SIGN_IN_COOKIE) or ""
    try:
        fields = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, RecursionError):
        return []
    return fields if isinstance(fields, list) else []


def set_sign_in(request: Request, response: Response, fields: list[str]) -> None:
    """Have the browser keep what it needs to come back from the identity provider."""
    text = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
    set_cookie(request, response, _SIGN_IN_COOKIE, text, SIGN_IN_SECONDS)


def clear_sign_in(request: Request, response: Response) -> None:
    """Have the browser forget a sign-in that is over."""
    clear_cookie(request, response, _SIGN_IN_COOKIE)


def require_same_origin(request: Request) -> None:
    """Raise DeniedError unless one of our own pages sends the request.

    Browsers say so in Sec-Fetch-Site, and older ones in Origin (W3C, "Fetch Metadata Request Headers").
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    own_origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if (site == "same-origin") if site is not None else (origin == own_origin):
        return
    raise DeniedError("the form was not sent by a page of this server", "Open the page here, and send it again.")


def _make_cookie_name(request: Request, name: str) -> str:
    return f"{_SECURE_PREFIX}{name}" if request.url.scheme == "https" else name
