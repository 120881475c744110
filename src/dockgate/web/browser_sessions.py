"""What the server needs to know of a browser: its session's cookie, and where a request comes from."""

from fastapi import Request, Response

from dockgate.shared.errors import DeniedError

_COOKIE = "dockgate-session"
# The prefix binds the cookie to TLS and to this host (RFC 6265bis, "Cookie Name Prefixes").
_SECURE_COOKIE = f"__Host-{_COOKIE}"
SAFE_METHODS = frozenset({"GET", "HEAD"})


def session_secret(request: Request) -> str:
    """The secret of the request's session, "" for none."""
    return request.cookies.get(_name(request), "")


def set_session(request: Request, response: Response, secret: str, seconds: int) -> None:
    """Have the browser keep the session, out of reach of scripts and of other sites."""
    is_secure = request.url.scheme == "https"
    response.set_cookie(
        _name(request), secret, max_age=seconds, path="/", secure=is_secure, httponly=True, samesite="lax"
    )


def clear_session(request: Request, response: Response) -> None:
    """Have the browser forget the session."""
    response.delete_cookie(_name(request), path="/", secure=request.url.scheme == "https", httponly=True)


def require_same_origin(request: Request) -> None:
    """Raise DeniedError unless one of our own pages sends the request.

    Browsers say so in Sec-Fetch-Site, and older ones in Origin (W3C, "Fetch Metadata Request Headers").
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    ours = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if (site == "same-origin") if site is not None else (origin == ours):
        return
    raise DeniedError("The form was not sent by a page of this server.", "Open the page here, and send it again.")


def _name(request: Request) -> str:
    return _SECURE_COOKIE if request.url.scheme == "https" else _COOKIE
