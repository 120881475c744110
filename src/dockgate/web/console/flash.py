"""What the answer to a form tells the page that it leads to, once.

A cookie carries it: anyone can make a link, and a parameter of it could claim what never happened.
"""

import base64
import binascii
from urllib.parse import unquote, urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from dockgate.web.browser_sessions import clear_cookie, read_cookie, set_cookie

_COOKIE = "dockgate-flash"
# The browser opens the page at once.
_SECONDS = 60
_SEPARATOR = "\n"


class FlashRedirect(RedirectResponse):
    """The answer to a form: the browser gets the page at `path`, and tells it the text."""

    def __init__(self, request: Request, path: str, text: str) -> None:
        super().__init__(path, 303)
        self._text = text
        value = base64.urlsafe_b64encode(f"{path}{_SEPARATOR}{text}".encode()).decode()
        set_cookie(request, self, _COOKIE, value, _SECONDS)

    def record(self) -> str:
        """Where it leads to and what it tells, for `repeat_redirect`."""
        return f"{self.headers['location']}{_SEPARATOR}{self._text}"


def redirect_with_flash(request: Request, path: str, text: str) -> Response:
    """Answer a form: the browser gets the page at `path`, and tells it the text."""
    return FlashRedirect(request, path, text)


def record_redirect(response: Response) -> str | None:
    """A redirect as a text, for `repeat_redirect`.

    None for another answer, and for one that sets another cookie.
    """
    if isinstance(response, FlashRedirect):
        return response.record()
    is_redirect = response.status_code == 303 and "set-cookie" not in response.headers
    return response.headers.get("location") if is_redirect else None


def repeat_redirect(request: Request, record: str) -> Response:
    """Answer a form that was sent again as the first one."""
    path, separator, text = record.partition(_SEPARATOR)
    return FlashRedirect(request, path, text) if separator else RedirectResponse(path, 303)


def read_flash(request: Request) -> str | None:
    """The text for the page that is requested, None without one.

    A page that fetches itself again has none: only parts of its answer are shown.
    """
    value = read_cookie(request, _COOKIE)
    if value is None or request.method != "GET" or "HX-Request" in request.headers:
        return None
    try:
        path, separator, text = base64.urlsafe_b64decode(value).decode().partition(_SEPARATOR)
    except (binascii.Error, ValueError):
        return None
    return text if separator and unquote(urlsplit(path).path) == request.scope["path"] else None


def clear_flash(request: Request, response: Response) -> None:
    """Have the browser forget the text, so that it is shown once."""
    clear_cookie(request, response, _COOKIE)
