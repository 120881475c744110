"""The route of a page: permissions as for every call, forms from our own pages only, errors as pages."""

import logging
from collections.abc import Sequence
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.routing import Match

from dockgate.identity.model import Caller, Permission
from dockgate.shared.errors import DockgateError, RoleNeededError, UnknownCallerError
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.web.authorization import GuardedRoute, Handler, get_authorized_caller
from dockgate.web.browser_sessions import SAFE_METHODS, require_same_origin
from dockgate.web.console.first_token import render_repetition
from dockgate.web.console.form_fields import is_form, is_part, read_body, read_form
from dockgate.web.console.formats import make_sentence
from dockgate.web.console.multipart import find_boundary, read_parts
from dockgate.web.console.rendering import render_page
from dockgate.web.console.repeated_forms import FORM_KEY, FormHandler
from dockgate.web.error_responses import get_request_id
from dockgate.web.page_paths import make_request_address, make_request_path
from dockgate.web.query_parameters import KNOWN_PARAMETERS, drop_empty_parameters
from dockgate.web.threads import get_threads, set_caller_check

# Fields of forms that a person does not type, or that no page may show.
_HIDDEN_FIELDS = frozenset(
    {"do", "form", FORM_KEY, "head", "key", "password", "secret", "text_digest", "to", "token", "verdict", "version"}
)
# Characters of a field that the page of an ended session shows: it answers people whom the server does not know.
_MAX_SHOWN = 1 << 20
# Parts that the path of a form may have more than the path of its page.
_FORM_PARTS = 3
# Lists by the first part of the paths of what they lead to.
_LISTS = {
    **{name: name for name in ("pipelines", "images", "vulnerabilities", "running", "repositories", "policies")},
    **{name: name for name in ("waivers", "advisories", "events", "people")},
    "executions": "pipelines",
    "verdicts": "images",
    "packages": "vulnerabilities",
}


_log = logging.getLogger(__name__)


class PageRoute(GuardedRoute):
    """A route whose forms only our own pages can send, and act once if they are sent twice."""

    @override
    def wrap_handler(self, handle: Handler) -> Handler:
        return FormHandler(handle, _render_running_form)

    @override
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_own(request: Request) -> Response:
            if request.method not in SAFE_METHODS:
                require_same_origin(request)
            drop_empty_parameters(request, self.dependant)
            try:
                return await handle(request)
            except UnknownCallerError:
                has_form = request.method not in SAFE_METHODS and not is_part(request)
                if not has_form or not is_page_wanted(request):
                    raise
                set_caller_check(None)  # it may have been a caller who lost the right while the form waited
                return await render_repetition(request) or await _render_ended_session(request)

        return handle_own


def make_page_router() -> APIRouter:
    """A router for pages, which the API's document does not list."""
    return APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[KNOWN_PARAMETERS])


def redirect_to(path: str) -> RedirectResponse:
    """Answer a form: the browser gets the page at `path`, so that reloading it sends nothing again."""
    return RedirectResponse(path, 303)


def choose_own_path(path: str) -> str:
    """The path if it is one of this server, "/" otherwise: a link must not lead away after signing in."""
    is_own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_own else "/"


def is_page_wanted(request: Request) -> bool:
    """Return whether a person's browser asks: programs do not ask for HTML."""
    is_api = request.url.path.startswith(("/api/", "/git/", "/registry/", "/static/"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def render_error_page(
    request: Request,
    status: int,
    message: str,
    advice: str | None,
    caller: Caller | None = None,
    administrators: Sequence[str] = (),
) -> Response:
    """An error as a page: what happened, the next step, and the id of the request, which the log has too.

    `administrators` are the names of whom to ask for a role.
    """
    name = get_request_id(request)
    if is_part(request):
        return render_page(request, caller, "_not_checked.html", status, message=message, advice=advice, sign_in=None)
    _log.info("%s %s: %d %s [request %s]", request.method, request.url.path, status, message, name)
    return render_page(
        request,
        caller,
        "error.html",
        status,
        title=make_sentence(message),
        message=message,
        advice=advice,
        administrators=administrators,
        next=_choose_next_page(request, status),
        request_id=name,
    )


def _choose_next_page(request: Request, status: int) -> tuple[str, str] | None:
    """The title and the path of the page that may help after an error; None where only the overview does.

    The same page again helps only where the server may answer in another way.
    """
    if request.method not in SAFE_METHODS or status == 405:
        page = find_form_page(request)
        return ("Back", page) if page != "/" else None
    if status not in (400, 403, 404, 422):
        return "Try again", make_request_address(request)
    name = _LISTS.get(request.url.path.split("/")[1])
    is_wrong_query = status in (400, 422) and request.url.query
    if name is None or status == 403 or (request.url.path == f"/{name}" and not is_wrong_query):
        return None
    return name.capitalize(), f"/{name}"


def _read_own_path(request: Request, header: str) -> str | None:
    """The path of our page that a header names by its URL, None if it names none."""
    host, slash, path = request.headers.get(header, "").partition("://")[2].partition("/")
    return choose_own_path(f"/{path}") if slash and host == request.headers.get("host") else None


async def answer_error(request: Request, error: DockgateError, status: int, caller: Caller | None) -> Response:
    """The page of an error; the page to sign in if the caller is unknown."""
    if status == 401:
        return _sign_in(request)
    if status == 404 and request.method in SAFE_METHODS and not _has_page(request, request.url.path):
        return render_form_address(request, caller)
    administrators: Sequence[str] = ()
    if caller is not None and isinstance(error, RoleNeededError):
        threads = await get_threads(request)
        administrators = await threads.run_prompt(_list_administrators, request.app.state.services.store)
    return render_error_page(request, status, str(error), error.next_step, caller, administrators)


def _list_administrators(store: Store) -> Sequence[str]:
    """The names of those who can grant roles."""
    return [principal.name for principal in store.principals.list() if principal.can(Permission.ADMINISTER)]


def render_form_address(request: Request, caller: Caller | None = None) -> Response:
    """The answer to a browser that opens the address of a form: the way back to its page."""
    message, advice = "this address takes only what a form sends", "Go back to the page with the form."
    return render_error_page(request, 405, message, advice, caller)


def _render_running_form(request: Request) -> Response:
    """The answer to a copy of a form whose first one is still being handled: it did nothing."""
    caller, page = get_authorized_caller(request), find_form_page(request)
    return render_page(
        request, caller, "form_running.html", 202, title="Still being handled", page=page if page != "/" else None
    )


def _sign_in(request: Request) -> Response:
    """Lead to the page to sign in, and from there back to where the person was."""
    if "HX-Request" not in request.headers:
        is_page = request.method in SAFE_METHODS
        return redirect_to(_make_sign_in_path(make_request_address(request) if is_page else find_form_page(request)))
    # htmx would follow a redirect, and show that page inside the present one.
    sign_in_path = _make_sign_in_path(_find_page(request, _read_own_path(request, "HX-Current-URL")))
    if is_part(request):  # nothing leads away from what is being typed
        return render_page(request, None, "_not_checked.html", 401, message=None, advice=None, sign_in=sign_in_path)
    return Response(status_code=401, headers={"HX-Redirect": sign_in_path})


def _make_sign_in_path(target: str) -> str:
    return f"/signin?to={quote(target, safe='')}"


async def _render_ended_session(request: Request) -> Response:
    """The answer to a form without session: what was typed, to copy, and the way back to its page by signing in."""
    fields = await _read_typed_fields(request)
    return render_page(
        request,
        None,
        "session_ended.html",
        401,
        title="Error: your session has ended",
        fields={name: value for name, value in fields.items() if value and name not in _HIDDEN_FIELDS},
        max_shown=_MAX_SHOWN,
        sign_in_path=_make_sign_in_path(find_form_page(request)),
    )


async def _read_typed_fields(request: Request) -> dict[str, str]:
    """Return the text fields of a form. The form may have file fields, which are left out."""
    if is_form(request):
        return await read_form(request)
    boundary = find_boundary(request.headers.get("content-type", ""))
    if boundary is None:
        return {}
    parts = read_parts(await read_body(request), boundary)
    return {name: part.data.decode(errors="replace") for name, part in parts.items() if part.file_name is None}


def find_form_page(request: Request) -> str:
    """The page from which a form was sent: the browser names it, or the form's path begins with it."""
    return _find_page(request, _read_own_path(request, "Referer") or make_request_path(request))


def _find_page(request: Request, address: str | None) -> str:
    """The page at an address, or above it if only a form has that address; "/" if there is no such page."""
    path = (address or "/").partition("?")[0]
    if address and _has_page(request, path):
        return address
    for _ in range(_FORM_PARTS):
        path = path.rpartition("/")[0]
        if path and _has_page(request, path):
            return path
    return "/"


def _has_page(request: Request, path: str) -> bool:
    """Return whether a page has this path: a browser can open it.

    Of routes whose paths match, those with the most fixed parts count: a name in a path may have slashes, and so match
    the addresses of forms.
    """
    scope = {"type": "http", "method": "GET", "path": unquote(path), "headers": []}
    matches = [
        (sum(not part.startswith("{") for part in route.path.split("/")), route.matches(scope)[0] is Match.FULL)
        for route in request.app.router.routes
        if isinstance(route, PageRoute) and route.matches(scope)[0] is not Match.NONE
    ]
    return max(matches, default=(0, False))[1]
