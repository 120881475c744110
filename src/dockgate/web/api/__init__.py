"""One router per noun. Bodies and answers are dataclasses, so that the OpenAPI document says what they hold."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from dockgate.bootstrap.server import Server
from dockgate.core.errors import DeniedError
from dockgate.core.people import LOCAL, PERMISSIONS, Permission, Principal


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


Count = Annotated[int, Query(ge=0, le=1 << 53)]
"""JSON's largest exact integer"""
Digest = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]

TheServer = Annotated[Server, Depends(_server)]


def caller(request: Request) -> Principal:
    """Who asks."""
    return LOCAL


def may(permission: Permission) -> Callable[[Principal], Principal]:
    """A dependency that gives whoever asks, and refuses those who may not. DeniedError names the roles that may."""

    def check(principal: Annotated[Principal, Depends(caller)]) -> Principal:
        if not principal.may(permission):
            roles = ", ".join(role for role, held in PERMISSIONS.items() if permission in held)
            raise DeniedError(f"{principal.name} may not {permission}", f"That takes one of the roles: {roles}.")
        return principal

    return check


Reader = Annotated[Principal, Depends(may(Permission.READ))]
Runner = Annotated[Principal, Depends(may(Permission.RUN))]
Decider = Annotated[Principal, Depends(may(Permission.DECIDE))]
Accepter = Annotated[Principal, Depends(may(Permission.ACCEPT))]
Administrator = Annotated[Principal, Depends(may(Permission.ADMINISTER))]
"""whoever asks, with the right to: a call's parameter `who` has one of these types"""
