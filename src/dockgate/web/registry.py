"""Registries' notifications: each push of a manifest becomes an event. Delivery is at least once, and an error makes
the sender try again."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from dockgate.bootstrap import pushes
from dockgate.web.api import TheServer

router = APIRouter(include_in_schema=False)


@router.post("/registry/events", status_code=202)
async def notified(request: Request, server: TheServer) -> Response:
    """Our own registry."""
    return await _taken(request, server, pushes.OUR_OWN, "")


@router.post("/registry/{form}/{registry}", status_code=202)
async def notified_from_elsewhere(form: str, registry: str, request: Request, server: TheServer) -> Response:
    return await _taken(request, server, form, registry)


async def _taken(request: Request, server: TheServer, form: str, registry: str) -> Response:
    given = request.headers.get("authorization", "")
    await run_in_threadpool(pushes.demand_secret, server, form, registry, given)  # before the body is read
    await run_in_threadpool(pushes.arrived, server, form, registry, given, await request.body())
    return Response(status_code=202)
