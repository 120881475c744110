"""Authentication, authorization and the audit trail of calls.

Every call has a parameter whose dependency is a `RequirePermission`. `GuardedRoute` runs it before it reads the body:
it authenticates the caller, refuses callers without the permission, and records a changing call before its execution.
"""

import inspect
import logging
import uuid
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from anyio import CancelScope
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dockgate.delivery.model import ExecutionId
from dockgate.identity.model import LOCAL, AuditEntry, Caller, Permission, Principal, require_permission
from dockgate.services.clock import ServerClock
from dockgate.services.web_services import WebServices
from dockgate.shared.addresses import is_loopback
from dockgate.shared.authorization_header import find_secret
from dockgate.shared.errors import BusyError, UnknownCallerError
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.web.audit_details import begin_call
from dockgate.web.browser_sessions import SAFE_METHODS, read_session_secret, require_same_origin
from dockgate.web.json_responses import accept_any_text
from dockgate.web.recent_calls import FAILURE_SECONDS, MAX_RECORDED, MAX_REFUSALS, FailedAuthentications, RecentCalls
from dockgate.web.request_limits import require_storable, require_unambiguous
from dockgate.web.threads import Threads, get_threads, set_caller_check

API = "/api/v1"
# Characters of a path in the audit log.
MAX_SUBJECT = 300

F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_self_checking_calls: set[Callable[..., Any]] = set()
# The key, in a request's scope, of its audit entry.
_AUDITED_CALL = "dockgate.audited"
# The keys, in a request's scope, of its authorized caller, and of its authenticated one, who may be refused.
_CALLER = "dockgate.caller"
_AUTHENTICATED_CALLER = "dockgate.authenticated_caller"
# The key, in a request's scope, of the permission checks of its route.
_GUARDS = "dockgate.guards"
# The principal of a refused sign-in in the audit log.
UNKNOWN = Caller(Principal("unknown", ()))
# Headers of a request through a proxy: it does not originate on this machine, even if the proxy runs here.
_FORWARDING_HEADERS = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"}

_log = logging.getLogger(__name__)


def authenticate_caller(request: Request) -> Caller:
    """Authenticate the caller by a bearer token, the password of git or a browser's session.

    Source: RFC 6750, RFC 7617.
    """
    services: WebServices = request.app.state.services
    address = request.client.host if request.client else ""
    header = request.headers.get("authorization", "")
    try:
        secret = None if header else read_session_secret(request)
        # Without principals, tokens are ignored.
        if not (header or secret) or not services.store.principals.has_any():
            return services.access.people.authenticate_local(
                is_loopback(address) and not _FORWARDING_HEADERS & set(request.headers)
            )
        if secret:
            if request.method not in SAFE_METHODS:
                require_same_origin(request)
            return services.access.sessions.authenticate(secret)
        return services.access.people.authenticate(find_token(request) or "")
    except UnknownCallerError:
        if header:
            failures: FailedAuthentications = request.app.state.failed_authentications
            failures.count_failure(address)
        raise


async def require_present_caller(request: Request) -> None:
    """Refuse a caller who has lost the right to the request since it began.

    That is a local caller once there are principals, and one whose token is revoked, who is disabled or whose roles are
    fewer. Call it after a wait or a body, which may take minutes. UnknownCallerError, DeniedError.
    """
    caller: Caller | None = request.scope.get(_CALLER)
    if caller is None:
        return
    threads = await get_threads(request)
    if caller.principal is LOCAL:
        services: WebServices = request.app.state.services
        await threads.run_prompt(services.access.people.authenticate_local, is_local=True)
        return
    for guard in request.scope[_GUARDS]:
        await threads.run_prompt(guard.authorize_again, request)


def find_token(request: Request) -> str | None:
    """The token or password of a request, or None."""
    return find_secret(request.headers.get("authorization", ""))


class RequirePermission:
    """A dependency that returns the caller, and refuses callers without a permission.

    Tokens that are limited to pipelines or repositories are checked against the path. Calls whose path names neither
    refuse such tokens, unless the call is marked with `mark_self_checking`.
    """

    def __init__(self, permission: Permission, alternative: Permission | None = None) -> None:
        """With `alternative`, either permission is sufficient, and the call checks which one it needs."""
        self.permission = permission
        self.alternative = alternative

    async def __call__(self, request: Request) -> Caller:
        """The caller that `GuardedRoute` has authorized. A coroutine, so that it needs no thread."""
        caller: Caller = request.scope[_CALLER]
        return caller

    def authorize(self, request: Request) -> Caller:
        """Authenticate and authorize, and begin the audit entry of a changing call. Does not read the body.

        Raises BusyError for changing calls of a principal of whom MAX_REFUSALS were refused within a minute.
        """
        caller = request.scope[_AUTHENTICATED_CALLER] = authenticate_caller(request)
        permission = self.choose_permission(request)
        # A call with the permission read changes nothing, even if it is a POST (git fetch).
        if permission is not Permission.READ and request.method not in ("GET", "HEAD"):
            refused_calls: RecentCalls = request.app.state.refused_calls
            if refused_calls.is_full(caller.name):
                raise BusyError(
                    f"{MAX_REFUSALS} calls of {caller.name} were refused within {FAILURE_SECONDS:g} seconds",
                    "Correct them, and retry in a minute.",
                )
            _begin_entry(request, caller, f"{request.method} {_get_template(request)}")
        request.scope[_CALLER] = permitted_caller = self._require_permission(request, caller, permission)
        return permitted_caller

    def authorize_again(self, request: Request) -> None:
        """Authenticate and authorize a caller who was authorized before, who may have other rights now."""
        caller = authenticate_caller(request)
        request.scope[_CALLER] = self._require_permission(request, caller, self.choose_permission(request))

    def _require_permission(self, request: Request, caller: Caller, permission: Permission) -> Caller:
        """The caller with this permission or the alternative. Raises DeniedError without it."""
        services: WebServices = request.app.state.services
        if self.alternative and not caller.can(permission) and caller.can(self.alternative):
            permission = self.alternative
        if not caller.can_somewhere(permission):
            require_permission(caller, permission)
        caller = replace(services.access.people.add_projects(caller), permission=permission)
        if caller.is_limited and request.scope["endpoint"] not in _self_checking_calls:
            caller.require(**_read_subject(request))
        return caller

    def choose_permission(self, request: Request) -> Permission:
        """The permission that the request needs."""
        return self.permission


class GuardedRoute(APIRoute):
    """A route that checks permissions before it reads the body."""

    @override
    def get_route_handler(self) -> Handler:
        accept_any_text(self)
        handle_authorized = super().get_route_handler()
        guards = list_permissions(self.dependant)
        is_json = self.body_field is not None
        is_synchronous = not inspect.iscoroutinefunction(self.endpoint)

        async def handle_in_slot(request: Request) -> Response:
            caller: Caller | None = request.scope.get(_CALLER)
            slots = (await get_threads(request)).calls
            async with slots.take(caller.name) if is_synchronous and caller else nullcontext():
                return await handle_authorized(request)

        handle = self.wrap_handler(handle_in_slot)

        async def handle_guarded(request: Request) -> Response:
            threads = await get_threads(request)
            for guard in guards:
                await threads.run_prompt(guard.authorize, request)
            request.scope[_GUARDS] = guards
            set_caller_check(partial(require_present_caller, request))
            begin_call(partial(describe_call, request) if find_audit_entry(request) else None)
            caller: Caller | None = request.scope.get(_CALLER)
            if caller is not None:
                await threads.begin(request, caller.name)
            if is_json:
                # Read here, because FastAPI turns errors of the body's limits into 400.
                async with threads.take_body_slot(caller.name if caller else ""):
                    body = await request.body()
                require_storable(body)
                await threads.run_prompt(require_unambiguous, body)
            return await handle(request)

        return handle_guarded

    def wrap_handler(self, handle: Handler) -> Handler:
        """Return what answers a request of a caller who is authorized.

        `handle` does so in a slot of calls, which it waits for.
        """
        return handle


def list_permissions(dependant: Dependant) -> list[RequirePermission]:
    """The permission checks of a call and of its dependencies."""
    own_guards = [dependant.call] if isinstance(dependant.call, RequirePermission) else []
    return own_guards + [guard for inner in dependant.dependencies for guard in list_permissions(inner)]


def mark_self_checking(call: F) -> F:
    """Mark a call that checks limited tokens itself (`caller.require`), or returns nothing confidential."""
    _self_checking_calls.add(call)
    return call


def _read_subject(request: Request) -> dict[str, str]:
    """The pipeline or repository that the path names; nothing if it names neither."""
    template = _get_template(request).removeprefix(API)
    names = request.path_params
    if template.startswith("/git/"):
        return {"repository": names["repository"]}
    if template.startswith("/repositories/{name}"):
        return {"repository": names["name"]}
    if template.startswith("/pipelines/{name}"):
        return {"pipeline": names["name"]}
    execution = ExecutionId.parse(names.get("execution_id", ""))
    return {"pipeline": execution.pipeline} if execution else {}


def _get_template(request: Request) -> str:
    """The path template of the request's route."""
    path: str = request.scope["route"].path
    return path.replace(":path", "")


@dataclass(frozen=True, slots=True)
class _AuditedCall:
    """A request's audit entry, and who makes the request."""

    entry: str
    by: str


def _begin_entry(request: Request, caller: Caller, call: str) -> None:
    """Begin the request's audit entry. `AuditMiddleware` completes it."""
    services: WebServices = request.app.state.services
    request.scope[_AUDITED_CALL] = _AuditedCall(
        begin_audit_entry(services.store, services.clock, caller, call, request.url.path), caller.name
    )


def record_call(request: Request, caller: Caller) -> None:
    """Begin the audit entry of a call that changes something, and needs the permission read alone."""
    _begin_entry(request, caller, f"{request.method} {_get_template(request)}")


def require_few(request: Request, caller: Caller) -> None:
    """Count a sign-in. Raises BusyError if there are too many."""
    recorded_calls: RecentCalls = request.app.state.recorded_calls
    if recorded_calls.count_call(caller.name):
        raise BusyError(
            f"more than {MAX_RECORDED} sign-ins of {caller.name} within {FAILURE_SECONDS:g} seconds",
            "Retry in a minute.",
        )


def begin_audit_entry(store: Store, clock: ServerClock, caller: Caller, call: str, subject: str) -> str:
    """Write the audit entry of a call that is about to be executed, and return its id."""
    token = caller.token.id if caller.token else None
    if len(subject) > MAX_SUBJECT:
        subject = f"{subject[:MAX_SUBJECT]}…"
    entry = AuditEntry(uuid.uuid4().hex, clock.now(), caller.name, token, call, subject)
    store.audit.begin(entry)
    return entry.id


def get_authorized_caller(request: Request) -> Caller | None:
    """The caller of a request whose permission was checked, None before that."""
    caller: Caller | None = request.scope.get(_CALLER)
    return caller


def get_authenticated_caller(request: Request) -> Caller | None:
    """The caller of a request, even a refused one, for error pages: it permits nothing.

    None before authentication.
    """
    caller: Caller | None = get_authorized_caller(request) or request.scope.get(_AUTHENTICATED_CALLER)
    return caller


def audit_sign_in(request: Request, caller: Caller | None, detail: str) -> None:
    """Begin the audit entry of a sign-in, which no permission check begins.

    `caller` is None for a refused one. Refused ones count as failed authentications: raises BusyError when there are
    too many. Of those of all addresses, the first MAX_REFUSALS in a minute have entries.
    """
    if caller is None:
        failures: FailedAuthentications = request.app.state.failed_authentications
        failures.count_failure(request.client.host if request.client else "")
        refused_calls: RecentCalls = request.app.state.refused_calls
        if refused_calls.is_full(UNKNOWN.name):
            return
    _begin_entry(request, caller or UNKNOWN, f"{request.method} {request.url.path}")
    describe_call(request, detail)


def describe_call(request: Request, detail: str) -> None:
    """Record in the request's audit entry what the call changed."""
    services: WebServices = request.app.state.services
    if entry := find_audit_entry(request):
        services.store.audit.describe(entry, detail)


def find_audit_entry(request: Request) -> str | None:
    """The id of a request's audit entry, or None."""
    call: _AuditedCall | None = request.scope.get(_AUDITED_CALL)
    return call.entry if call else None


class AuditMiddleware:
    """A middleware that completes audit entries with the status, before the client gets the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI). A call that ends without a response is recorded with status 500."""

        async def finish(status: int) -> None:
            call: _AuditedCall | None = scope.pop(_AUDITED_CALL, None)
            if call is not None:
                state = scope["app"].state
                services: WebServices = state.services
                threads: Threads = state.threads
                if 400 <= status < 500 or call.by == UNKNOWN.name:
                    state.refused_calls.count_call(call.by)
                with CancelScope(shield=True):  # even if the client has gone, which cancels the response
                    await threads.run_prompt(services.store.audit.finish, call.entry, status)

        async def watch_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await finish(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch_send)
        finally:
            await finish(500)
