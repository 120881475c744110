"""Authentication, authorization and the audit trail of calls.

Every call has a parameter whose dependency is a `May`. `GuardedRoute` runs it before it reads anything of the request's
body: it finds out who calls, refuses callers without the permission, and records a changing call before it is done.
"""

import base64
import binascii
import inspect
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from anyio import CancelScope
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dockgate.identity.model import PERMISSIONS, AuditEntry, Caller, Permission
from dockgate.services.server import Server
from dockgate.shared.addresses import is_loopback
from dockgate.shared.errors import BusyError, DeniedError, UnknownCallerError
from dockgate.web.limit import require_storable
from dockgate.web.threads import Threads, threads_of

API = "/api/v1"
FAILURES = 20
FAILURE_SECONDS = 60.0
MOST_ADDRESSES = 10_000

F = TypeVar("F", bound=Callable[..., Any])

_narrow: set[Callable[..., Any]] = set()
# The key, in a request's scope, of the audit entry that was begun for it.
_AUDITED = "dockgate.audited"
# The key, in a request's scope, of the caller that a guard has let in.
_CALLER = "dockgate.caller"
# Headers of a request that comes through a proxy: it did not begin on this machine, though the proxy runs here.
_FORWARDED = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"}

_log = logging.getLogger(__name__)


class Failures:
    """How often an address showed a token that is none. Beyond FAILURES in FAILURE_SECONDS it hears 429.

    A token that stands always passes: on one machine, or behind one address, nobody locks others out by guessing. There
    is nothing to guess in 256 random bits either; this keeps a broken client from filling the log.
    """

    def __init__(self) -> None:
        self._of: dict[str, deque[float]] = {}

    def count(self, address: str) -> None:
        """Counts one more. BusyError when they are too many."""
        now = time.monotonic()
        while len(self._of) >= MOST_ADDRESSES and address not in self._of:
            del self._of[next(iter(self._of))]  # the one that began first
        times = self._of.setdefault(address, deque(maxlen=FAILURES + 1))
        times.append(now)
        if len(times) > FAILURES and times[0] > now - FAILURE_SECONDS:
            raise BusyError(
                f"more than {FAILURES} tokens from {address} were not valid",
                f"Mend DOCKGATE_TOKEN, and try again in {FAILURE_SECONDS:g} seconds.",
            )
        _log.warning("a request from %s showed no token that is valid", address)


def caller(request: Request) -> Caller:
    """Authenticate: by `Authorization: Bearer TOKEN`, and git by a password (RFC 6750, RFC 7617)."""
    server: Server = request.app.state.server
    address = request.client.host if request.client else ""
    given = request.headers.get("authorization", "")
    try:
        # While there are no principals, any token is as good as none.
        if not given or not server.store.principals.has_any():
            return server.people.unnamed(is_loopback(address) and not _FORWARDED & set(request.headers))
        return server.people.known_by(_token(given))
    except UnknownCallerError:
        if given:
            failures: Failures = request.app.state.failures
            failures.count(address)
        raise


def shown_token(request: Request) -> str:
    """The token, or the password, that a request shows; "" for none."""
    return _token(request.headers.get("authorization", ""))


def _token(given: str) -> str:
    kind, _, value = given.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


class May:
    """A dependency that gives whoever asks, and refuses those who may not. DeniedError names the roles that may.

    `subject` is what the call is on, for tokens that are for some pipelines or repositories only. A call that the path
    says nothing of is closed to these, unless it is marked by `narrow` and looks itself.
    """

    def __init__(self, permission: Permission, otherwise: Permission | None = None) -> None:
        """With `otherwise` either of the two will do, and the call looks which one it takes."""
        self.permission = permission
        self.otherwise = otherwise

    async def __call__(self, request: Request) -> Caller:
        """The caller, whom `GuardedRoute` has admitted already. In the event loop, so that it takes no thread."""
        admitted: Caller = request.scope[_CALLER]
        return admitted

    def admit(self, request: Request) -> Caller:
        """Authenticate and authorize, and begin the audit entry of a changing call. Reads nothing of the body."""
        who = caller(request)
        permission = self.needed(request)
        # A call that only reads changes nothing, though it is a POST, as a fetch of git is.
        if permission is not Permission.READ and request.method not in ("GET", "HEAD"):
            _begin(request, who)
        if not who.may(permission) and not (self.otherwise and who.may(self.otherwise)):
            roles = ", ".join(role for role, held in PERMISSIONS.items() if permission in held)
            raise DeniedError(
                f"{who.name} may not {permission} by this token", f"That takes one of the roles: {roles}."
            )
        if who.limited and request.scope["endpoint"] not in _narrow:
            who.require(**_subject(request))
        request.scope[_CALLER] = who
        return who

    def needed(self, request: Request) -> Permission:
        return self.permission


class GuardedRoute(APIRoute):
    """A call whose `May` is asked before the body is read, so that nobody else's body is parsed or kept."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        guards = guards_of(self.dependant)
        is_json = self.body_field is not None
        takes_thread = not inspect.iscoroutinefunction(self.endpoint)

        async def guarded(request: Request) -> Response:
            threads = await threads_of(request)
            for guard in guards:
                await threads.run_prompt(guard.admit, request)
            if is_json:
                # FastAPI would answer 400 to whatever the body's limits raise.
                require_storable(await request.body())
            if not takes_thread:
                return await handle(request)
            who: Caller = request.scope[_CALLER]
            async with threads.calling(who.name):
                return await handle(request)

        return guarded


def guards_of(dependant: Dependant) -> list[May]:
    """The guards of a call, and of all that it depends on."""
    own = [dependant.call] if isinstance(dependant.call, May) else []
    return own + [guard for inner in dependant.dependencies for guard in guards_of(inner)]


def narrow(call: F) -> F:
    """Marks a call that asks `who.demand` itself, or tells nothing that a limited token should not know."""
    _narrow.add(call)
    return call


def _subject(request: Request) -> dict[str, str]:
    """The pipeline or repository that the path names; nothing for paths that name none."""
    template = _template(request).removeprefix(API)
    names = request.path_params
    if template.startswith("/git/"):
        return {"repository": names["repository"]}
    if template.startswith("/pipelines/{name}"):
        return {"pipeline": names["name"]}
    if "execution_id" in names:
        return {"pipeline": names["execution_id"].rpartition("-")[0]}
    return {}


def _template(request: Request) -> str:
    """The path with the names of its parts: FastAPI's route knows its router's prefix, or does not."""
    path: str = request.scope["route"].path.replace(":path", "")
    return path if path.startswith(API) or not request.url.path.startswith(API) else f"{API}{path}"


def _begin(request: Request, who: Caller) -> None:
    """Before the call: what is not on record is not done."""
    server: Server = request.app.state.server
    entry = AuditEntry(
        id=uuid.uuid4().hex,
        at=server.parts.now(),
        who=who.name,
        token=who.token.id if who.token else "",
        call=f"{request.method} {_template(request)}",
        subject=request.url.path,
    )
    server.store.audit.begin(entry)
    request.scope[_AUDITED] = entry.id


def audit_entry(request: Request) -> str:
    """The id of the audit entry that was begun for a request, "" if there is none."""
    entry: str = request.scope.get(_AUDITED, "")
    return entry


class Audited:
    """Writes down how the calls ended that were begun on the record, before whoever asked hears it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def finish(status: int) -> None:
            if entry := scope.pop(_AUDITED, ""):
                state = scope["app"].state
                server: Server = state.server
                threads: Threads = state.threads
                with CancelScope(shield=True):  # also when the client has gone, which cancels the answer
                    await threads.run_prompt(server.store.audit.finish, entry, status)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                await finish(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            await finish(500)
