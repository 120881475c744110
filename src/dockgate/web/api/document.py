"""The OpenAPI document of this API."""

from typing import Any

from fastapi import APIRouter, Request

from dockgate.web.api import GuardedRoute, Reader, narrow

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)


@router.get("/openapi.json")
@narrow
def openapi(request: Request, who: Reader) -> dict[str, Any]:
    """The document, for callers who may read: it needs a token once there are principals."""
    document: dict[str, Any] = request.app.openapi()
    return document
