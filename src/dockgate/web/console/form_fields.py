"""The fields of a form, as a browser sends them."""

from urllib.parse import parse_qsl

from fastapi import Request

from dockgate.shared.errors import UsageError
from dockgate.web.authorization import get_authorized_caller
from dockgate.web.browser_sessions import SAFE_METHODS
from dockgate.web.threads import get_threads

# Fields of a form, and parts of the path of a page to return to.
MAX_FIELDS = 100
# Fields whose blanks mean something: the content of a file, and the path at which it was opened.
TEXT_FIELDS = frozenset({"content", "opened"})
_FORM_TYPE = "application/x-www-form-urlencoded"


def is_form(request: Request) -> bool:
    """Return whether the body has the fields of a form, and no files."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM_TYPE


def is_part(request: Request) -> bool:
    """Return whether a page asks by itself to check what is typed, and shows the answer in a part."""
    return request.method not in SAFE_METHODS and "HX-Request" in request.headers


async def read_body(request: Request) -> bytes:
    """The body of a form. Raises BusyError while too many others are received."""
    threads, caller = await get_threads(request), get_authorized_caller(request)
    address = request.client.host if request.client else ""
    async with threads.take_body_slot(caller.name) if caller else threads.take_form_slot(address):
        return await request.body()


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, with lines that end by newlines.

    Surrounding blanks are removed except from texts. Raises UsageError for a malformed body, BusyError while too many
    others are received.
    """
    body = await read_body(request)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict",
                           max_num_fields=MAX_FIELDS)  # fmt: skip
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"the form cannot be read: {error}", "Send it again from the page.") from None
    if any("\0" in value for _, value in fields):
        raise UsageError("the form contains a NUL character", "Remove it.")
    lines = {name: value.replace("\r\n", "\n") for name, value in fields}
    return {name: value if name in TEXT_FIELDS else value.strip() for name, value in lines.items()}
