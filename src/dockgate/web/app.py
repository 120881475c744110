"""The ASGI application. Errors become JSON with their advice; other details never reach a client."""

import errno
import logging
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from dockgate import __version__
from dockgate.identity.model import Caller
from dockgate.server.connections import compute_max_connections
from dockgate.services.web_services import WebServices
from dockgate.shared import errors
from dockgate.shared.addresses import CONSOLE_HOST, LOOPBACK_NAMES, is_loopback
from dockgate.shared.interfaces import override
from dockgate.shared.recent_values import RecentValues
from dockgate.web import registry_endpoints
from dockgate.web.authorization import AuditMiddleware, authenticate_caller, get_authenticated_caller
from dockgate.web.browser_sessions import SAFE_METHODS
from dockgate.web.console import routes as console
from dockgate.web.console.live import LiveChanges
from dockgate.web.console.pages.queue_items import QueueCount
from dockgate.web.console.recent_values import RecentVerdicts
from dockgate.web.console.repeated_forms import RunningForms
from dockgate.web.error_responses import add_error_schema, get_request_id
from dockgate.web.git_process import GitProcesses
from dockgate.web.json_responses import AsciiResponse
from dockgate.web.recent_calls import MAX_RECORDED, MAX_REFUSALS, FailedAuthentications, RecentCalls
from dockgate.web.request_limits import BodySizeLimit, Refusal, refuse_ambiguous
from dockgate.web.response_headers import DefaultHeadersMiddleware, add_default_headers
from dockgate.web.threads import TakenSlots, Threads, get_threads
from dockgate.web.validation_messages import describe_problem

CLIENT_CLOSED_REQUEST = 499
# When a client may try again what the database could not do.
RETRY_SECONDS = 5
ADVICE = "The API's reference lists calls and parameters: docs/reference/api.md."

_STATUS: tuple[tuple[type[errors.DockgateError], int], ...] = (
    (errors.NotFoundError, 404),
    (errors.ChangedError, 412),
    (errors.ConflictError, 409),
    (errors.UnknownCallerError, 401),
    (errors.DeniedError, 403),
    (errors.BusyError, 429),
    (errors.TooLargeError, 413),
    (errors.SlowBodyError, 408),
    (errors.UsageError, 400),
    (errors.MessageRefusedError, 400),
    (errors.ReceiverGoneError, 409),
    (errors.DiskFullError, 507),
    (errors.StoreError, 503),
    (errors.UnavailableError, 502),
    (errors.TooSlowError, 502),
    (errors.DatabaseError, 503),
    (errors.DeployError, 409),
)
# Counts of what needs a person that are remembered: of each person, a few seconds long.
_MAX_QUEUE_COUNTS = 1000
# A host name or address, and perhaps a port.
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?")

_log = logging.getLogger(__name__)


class _Application(FastAPI):
    """An application whose OpenAPI document describes errors, too."""

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            add_error_schema(super().openapi())
        return super().openapi()


def create_app(services: WebServices, is_remote: bool = False) -> FastAPI:
    """The public application.

    It accepts requests for loopback names and the public URL, and from scripts of no other origin. With `is_remote`
    other machines can reach it, over TLS only.
    """
    from dockgate.web.routes import list_public_routes  # a worker has none of them: they take a fifth of its start

    refusals = (_refuse_other_origins, refuse_ambiguous, *((_refuse_plain_http,) if is_remote else ()))
    app = _make_app(
        services, sorted({*LOOPBACK_NAMES, urlsplit(services.addresses.url).hostname or LOOPBACK_NAMES[0]}), refusals
    )
    if urlsplit(services.addresses.console_url).hostname == CONSOLE_HOST:
        app.add_middleware(ConsoleHostMiddleware)
    app.state.git_processes = GitProcesses()
    app.router.routes += list_public_routes()
    return app


def create_internal_app(services: WebServices) -> FastAPI:
    """The internal application, for the local registry and its clients: tokens and notifications."""
    app = _make_app(services, LOOPBACK_NAMES)
    app.router.routes += registry_endpoints.router.routes
    return app


def _make_app(
    services: WebServices, hosts: Sequence[str], refusals: Sequence[Callable[[Request], Refusal | None]] = ()
) -> FastAPI:
    app = _Application(
        title="Dockgate",
        version=__version__,
        description="From git push to a running container, through the gate. The commands use this API.",
        openapi_url=None,  # api/openapi.py serves it to callers with the permission read
        redirect_slashes=False,  # one path for each call
    )
    app.add_middleware(RefusalMiddleware, refuse=partial(_refuse_other_hosts, frozenset(hosts)))
    for refusal in refusals:
        app.add_middleware(RefusalMiddleware, refuse=refusal)
    app.add_middleware(BodySizeLimit)
    app.add_middleware(AuditMiddleware)
    app.add_middleware(TakenSlots)
    app.add_middleware(DefaultHeadersMiddleware)
    app.state.services = services
    app.state.recent_verdicts = RecentVerdicts()
    app.state.recent_queue_counts = RecentValues[QueueCount](_MAX_QUEUE_COUNTS)
    app.state.running_forms = RunningForms()
    app.state.failed_authentications = FailedAuthentications()
    app.state.refused_calls = RecentCalls(MAX_REFUSALS)
    app.state.recorded_calls = RecentCalls(MAX_RECORDED)
    # The other connections are for sign-ins and checks of health.
    app.state.threads = Threads(max_requests=compute_max_connections() * 3 // 4)
    app.state.live_changes = LiveChanges(services.store.event_log.read_newest_seq, services.store.event_log.read)
    app.add_exception_handler(errors.DockgateError, _respond_to_error)
    app.add_exception_handler(HTTPException, _respond_to_http_exception)
    app.add_exception_handler(RequestValidationError, _respond_to_validation_error)
    app.add_exception_handler(ClientDisconnect, _respond_to_client_closed)
    app.add_exception_handler(Exception, _respond_to_unexpected)
    return app


def _list_documented_calls(app: FastAPI) -> list[tuple[int, str, re.Pattern[str]]]:
    """For each documented call: the number of fixed path segments, method, path. Built on first use."""
    if not hasattr(app.state, "documented_calls"):
        app.state.documented_calls = [
            (
                sum(not segment.startswith("{") for segment in path.split("/")),
                method.upper(),
                re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{approval_id}", ".+"))),
            )
            for path, methods in app.openapi()["paths"].items()
            for method in methods
        ]
    calls: list[tuple[int, str, re.Pattern[str]]] = app.state.documented_calls
    return calls


class RefusalMiddleware:
    """A middleware that answers a request with the refusal of `refuse`, or passes it on."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request], Refusal | None]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        refusal = self._refuse(Request(scope)) if scope["type"] == "http" else None
        answer = self._app if refusal is None else _make_refusal_response(Request(scope), refusal)
        await answer(scope, receive, send)


class ConsoleHostMiddleware:
    """A middleware that leads browsers from a page at a loopback address to CONSOLE_HOST.

    Cookies of the console stay at that host.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        if scope["type"] == "http" and _is_page_at_address(Request(scope)):
            await RedirectResponse(Request(scope).url.replace(hostname=CONSOLE_HOST), 307)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_page_at_address(request: Request) -> bool:
    """Return whether a browser opens a page, by itself, at an address of loopback."""
    host = _HOST.fullmatch(request.headers.get("host", "").lower())
    return (
        host is not None
        and host[1] in LOOPBACK_NAMES
        and host[1] != CONSOLE_HOST
        and request.method in SAFE_METHODS
        and request.headers.get("sec-fetch-dest") == "document"
        and console.is_page_wanted(request)
    )


def _make_refusal_response(request: Request, refusal: Refusal) -> Response:
    if console.is_page_wanted(request):
        return console.render_error_page(request, refusal.status, refusal.error, refusal.advice)
    return AsciiResponse({"error": refusal.error, "advice": refusal.advice}, refusal.status)


def _refuse_other_hosts(hosts: Collection[str], request: Request) -> Refusal | None:
    """Refuse requests by other names than ours: another site could have its name lead here (DNS rebinding)."""
    host = _HOST.fullmatch(request.headers.get("host", "").lower())
    if host is not None and host[1] in hosts:
        return None
    name = host[0] if host else "HOST"
    return Refusal(
        400,
        f"this server accepts no requests for the host {host[0][:100]}" if host else "the request names no valid host",
        f"Open {request.app.state.services.addresses.console_url}. If people shall reach the server as {name[:100]}, "
        "start it with "
        f"`DOCKGATE_PUBLIC_URL={request.url.scheme}://{name[:100]}`.",
    )


def _refuse_other_origins(request: Request) -> Refusal | None:
    """Refuse requests from scripts of other origins."""
    origin = request.headers.get("origin")
    own_origins = (request.app.state.services.addresses.url, f"{request.url.scheme}://{request.headers.get('host')}")
    if origin is None or origin in own_origins:
        return None
    return Refusal(403, f"requests from the origin {origin} are refused", "Use the command `dockgate`.")


def _refuse_plain_http(request: Request) -> Refusal | None:
    """Refuse plain HTTP from other machines."""
    if request.url.scheme == "https" or is_loopback(request.client.host if request.client else ""):
        return None
    return Refusal(403, "this server accepts only TLS", "Use a URL that begins with https://.")


async def _respond_to_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.DockgateError):
        raise error
    if isinstance(error, errors.StoreError) and get_authenticated_caller(request) is None:
        # It names the database and its host, and callers are unknown while the database is away.
        _log.warning("%s %s: %s [request %s]", request.method, request.url.path, error, get_request_id(request))
        error = errors.StoreError("the database does not answer", "Retry in a minute. The server's log has the reason.")
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    is_page, is_git = console.is_page_wanted(request), request.url.path.startswith("/git/")
    answer: Response
    if is_page:
        answer = await console.answer_error(request, error, status, get_authenticated_caller(request))
    elif is_git:  # git shows only plain text
        answer = PlainTextResponse(f"{error.full_message}\n", status)
    else:
        answer = AsciiResponse({"error": str(error), "advice": error.next_step}, status)
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401 and not is_page:
        takes_basic = is_git or request.url.path == "/registry/token"
        answer.headers["WWW-Authenticate"] = f'{"Basic" if takes_basic else "Bearer"} realm="dockgate"'
    return answer


async def _respond_to_client_closed(_: Request, error: Exception) -> Response:
    """A response for the audit log only: the client is gone (nginx's status "client closed request")."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _respond_to_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:  # the router lists only the methods of the first matching route
        calls = await run_in_threadpool(_list_documented_calls, request.app)
        matching = [(fixed_parts, method) for fixed_parts, method, path in calls if path.fullmatch(request.url.path)]
        allowed_methods = sorted({method for fixed_parts, method in matching if fixed_parts == max(matching)[0]})
        error.headers = {"Allow": ", ".join(allowed_methods)} if allowed_methods else error.headers
    if console.is_page_wanted(request):
        reader = await _find_reader(request)
        if error.status_code == 405:
            return console.render_form_address(request, reader)
        advice = "Go to the overview, or search." if reader else "Go to the overview."
        return console.render_error_page(request, error.status_code, "there is no such page", advice, reader)
    return AsciiResponse({"error": error.detail, "advice": ADVICE}, error.status_code, error.headers)


async def _find_reader(request: Request) -> Caller | None:
    """The person at the browser, whose error page keeps its navigation; None without a session."""
    try:
        return await (await get_threads(request)).run_prompt(authenticate_caller, request)
    except errors.DockgateError:
        return None


async def _respond_to_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    message, advice = describe_problem(error.errors()[0])
    if console.is_page_wanted(request):
        return console.render_error_page(request, 422, message, advice, get_authenticated_caller(request))
    return AsciiResponse({"error": message, "advice": f"{advice} {ADVICE}"}, 422)


async def _respond_to_unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _log.error("%s %s: %s [request %s]", request.method, request.url.path, error, get_request_id(request))
        status, message, advice = 507, "The server's disk is full.", "Free space in DOCKGATE_DATA."
    else:
        name = get_request_id(request)
        _log.error("%s %s: internal error [request %s]", request.method, request.url.path, name, exc_info=error)
        status, message = 500, f"internal error: {type(error).__name__}"
        advice = f"See request {name} in the server's log."
    response: Response
    if console.is_page_wanted(request):
        response = console.render_error_page(request, status, message, advice, get_authenticated_caller(request))
    else:
        response = AsciiResponse({"error": message, "advice": advice}, status)
    add_default_headers(response.headers)  # Starlette makes this answer outside of all middleware
    return response
