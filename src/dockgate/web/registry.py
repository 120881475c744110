"""The registry's side of the server: tokens for its clients, and its notifications of pushes."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from dockgate.delivery.registry_access import PUSH, Access, Login
from dockgate.identity.model import AuditEntry, Caller, Permission
from dockgate.services import pushes
from dockgate.services.server import Server
from dockgate.shared.canonical import plain
from dockgate.web.api import TheServer
from dockgate.web.caller import GuardedRoute, May, narrow, shown_token
from dockgate.web.threads import TheThreads, Threads

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)

# The key, in a request's scope, of the login that it shows.
_LOGIN = "dockgate.registry-login"


class MayPull(May):
    """Gives the caller, or the login of a program that the server started. What it may do is decided by scope."""

    async def __call__(self, request: Request) -> Caller | Login:  # type: ignore[override]
        login: Login | None = request.scope.get(_LOGIN)
        return login or await super().__call__(request)

    def admit(self, request: Request) -> Caller | Login:  # type: ignore[override]
        server: Server = request.app.state.server
        shown = shown_token(request)
        login = server.access.tokens.read_login(shown) if shown else None
        if login is None:
            return super().admit(request)
        request.scope[_LOGIN] = login
        return login


@narrow
async def token(
    who: Annotated[Caller | Login, Depends(MayPull(Permission.READ))],
    server: TheServer,
    threads: TheThreads,
    service: str = "",
    scope: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """A registry token (CNCF Distribution, "Token Authentication Specification"), for what the caller may do of what it
    asks for. A grant to push is on record before it is given."""
    return await threads.run_prompt(_grant, server, who, service, scope or [])


def _grant(server: Server, who: Caller | Login, service: str, scopes: list[str]) -> Response:
    granted, access = server.access.grant(who, service, scopes, server.store)
    if isinstance(who, Caller):
        for entry in access:
            if PUSH in entry.actions:
                _audit(server, who, entry)
    return JSONResponse(plain(granted), headers={"Cache-Control": "no-store"})


router.add_api_route("/registry/token", token, methods=["GET"], route_class_override=GuardedRoute)


@router.post("/registry/events", status_code=202)
async def notified(request: Request, server: TheServer, threads: TheThreads) -> Response:
    """Our own registry."""
    return await _taken(request, server, threads, pushes.OUR_OWN, "")


@router.post("/registry/{form}/{registry}", status_code=202)
async def notified_from_elsewhere(
    form: str, registry: str, request: Request, server: TheServer, threads: TheThreads
) -> Response:
    return await _taken(request, server, threads, form, registry)


async def _taken(request: Request, server: Server, threads: Threads, form: str, registry: str) -> Response:
    given = request.headers.get("authorization", "")
    await threads.run_prompt(pushes.require_secret, server, form, registry, given)  # before the body is read
    body = await request.body()
    # Another registry is asked which digest a tag has. No principal's name has a "/".
    run = threads.run_remote if registry else threads.run
    await run(f"{form}/{registry}", pushes.arrived, server, form, registry, given, body)
    return Response(status_code=202)


def _audit(server: Server, who: Caller, access: Access) -> None:
    entry = AuditEntry(
        id=uuid.uuid4().hex,
        at=server.parts.now(),
        who=who.name,
        token=who.token.id if who.token else "",
        call="GET /registry/token",
        subject=f"{access.type}:{access.name}:{','.join(access.actions)}",
    )
    server.store.audit.begin(entry)
    server.store.audit.finish(entry.id, 200)
