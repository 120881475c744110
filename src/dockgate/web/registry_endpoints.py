"""Registry tokens for clients, and push notifications of registries."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from dockgate.delivery.registry_access import PUSH, Login
from dockgate.identity.model import Caller, Permission, Principal
from dockgate.services.clock import ServerClock
from dockgate.services.registry.notifications import DISTRIBUTION
from dockgate.services.web_services import RegistryServices, WebServices
from dockgate.shared.canonical import to_plain
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.web.api import ClockDependency, RegistryDependency, StoreDependency
from dockgate.web.authorization import (
    GuardedRoute,
    RequirePermission,
    begin_audit_entry,
    find_token,
    mark_self_checking,
)
from dockgate.web.threads import Threads, ThreadsDependency

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)

# The key, in a request's scope, of its registry login.
_LOGIN = "dockgate.registry-login"


class RequirePull(RequirePermission):
    """The caller, or the login of a program that the server started. Access is decided per scope."""

    @override
    async def __call__(self, request: Request) -> Caller | Login:  # type: ignore[override]
        login: Login | None = request.scope.get(_LOGIN)
        return login or await super().__call__(request)

    @override
    def authorize(self, request: Request) -> Caller | Login:  # type: ignore[override]
        services: WebServices = request.app.state.services
        shown_token = find_token(request)
        login = services.registries.access.tokens.read_login(shown_token) if shown_token else None
        if login is None:
            return super().authorize(request)
        request.scope[_LOGIN] = login
        return login


@mark_self_checking
async def issue_token(
    caller: Annotated[Caller | Login, Depends(RequirePull(Permission.READ))],
    store: StoreDependency,
    clock: ClockDependency,
    registries: RegistryDependency,
    threads: ThreadsDependency,
    service: str = "",
    scope: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Issue a registry token (CNCF Distribution, "Token Authentication Specification").

    It grants the requested scopes that the caller may have. Push grants are audited before they are issued.
    """
    return await threads.run_prompt(_grant_access, store, clock, registries, caller, service, scope or [])


def _grant_access(
    store: Store,
    clock: ServerClock,
    registries: RegistryServices,
    caller: Caller | Login,
    service: str,
    scopes: list[str],
) -> Response:
    token, access = registries.access.grant_token(caller, service, scopes, store, registries.push_permits)
    grantee = caller if isinstance(caller, Caller) else Caller(Principal(caller.subject, ()))
    for entry in access:
        if PUSH in entry.actions:
            subject = f"{entry.type}:{entry.name}:{','.join(entry.actions)}"
            entry_id = begin_audit_entry(store, clock, grantee, "GET /registry/token", subject)
            store.audit.describe(entry_id, "push granted")
            store.audit.finish(entry_id, 200)
    return JSONResponse(to_plain(token), headers={"Cache-Control": "no-store"})


router.add_api_route("/registry/token", issue_token, methods=["GET"], route_class_override=GuardedRoute)


@router.post("/registry/events", status_code=202)
async def receive_own_event(request: Request, registries: RegistryDependency, threads: ThreadsDependency) -> Response:
    """Notifications of the server's own registry."""
    return await _accept_event(request, registries, threads, DISTRIBUTION, None)


@router.post("/registry/{form}/{registry}", status_code=202)
async def receive_remote_event(
    form: str, registry: str, request: Request, registries: RegistryDependency, threads: ThreadsDependency
) -> Response:
    """Notifications of other registries."""
    return await _accept_event(request, registries, threads, form, registry)


async def _accept_event(
    request: Request, registries: RegistryServices, threads: Threads, form: str, registry: str | None
) -> Response:
    header = request.headers.get("authorization", "")
    notifications = registries.notifications
    await threads.run_prompt(notifications.require_secret, form, registry, header)  # before reading the body
    sender = f"{form}/{registry or ''}"  # cannot clash: no principal's name has a "/"
    await threads.begin(request, sender)
    async with threads.take_body_slot(sender):
        body = await request.body()
    # May call another registry to resolve a tag.
    run = threads.run_remote if registry else threads.run
    await run(sender, notifications.receive, form, registry, header, body)
    return Response(status_code=202)
