"""One router per noun. Bodies and answers are dataclasses, so that the OpenAPI document says what they hold.

Every call has a parameter `who` of one of the types below, though it may not look at it: that is its permission.
Routers are made with `route_class=GuardedRoute`, so that the permission is asked for before the body is read.
"""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from dockgate.identity.model import Caller, Permission
from dockgate.services.server import Server
from dockgate.shared.digest import PATTERN
from dockgate.web.caller import GuardedRoute, May, narrow
from dockgate.web.threads import TheThreads

__all__ = [
    "Accepter",
    "Administrator",
    "Count",
    "Decider",
    "Definer",
    "Digest",
    "GuardedRoute",
    "Reader",
    "Runner",
    "TheServer",
    "TheThreads",
    "body_of",
    "narrow",
]


async def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


# JSON's largest exact integer.
Count = Annotated[int, Query(ge=0, le=1 << 53)]
Digest = Annotated[str, Path(pattern=f"^{PATTERN}$")]

TheServer = Annotated[Server, Depends(_server)]

Reader = Annotated[Caller, Depends(May(Permission.READ))]
Runner = Annotated[Caller, Depends(May(Permission.RUN))]
Decider = Annotated[Caller, Depends(May(Permission.DECIDE))]
Accepter = Annotated[Caller, Depends(May(Permission.ACCEPT))]
Administrator = Annotated[Caller, Depends(May(Permission.ADMINISTER))]
# Whoever asks, with the right to: a call's parameter `who` has one of these types.
Definer = Annotated[Caller, Depends(May(Permission.ACCEPT, Permission.ADMINISTER))]


def body_of(media_type: str, kind: str) -> dict[str, Any]:
    """What the OpenAPI document says of a body that a call reads itself: an OpenAPI operation to merge in."""
    content = {media_type: {"schema": {"type": kind}}}
    return {"requestBody": {"required": True, "content": content}}
