"""The health check, which needs no token."""

from dataclasses import dataclass

from fastapi.routing import APIRoute

from dockgate.web.api import make_router

router = make_router(route_class=APIRoute)


@dataclass(frozen=True, slots=True)
class Health:
    """The result of the health check."""

    status: str


@router.get("/health")
async def check_health() -> Health:
    """Check that the server answers. Needs no token."""
    # A coroutine needs no thread, so it answers under any load.
    return Health("ok")
