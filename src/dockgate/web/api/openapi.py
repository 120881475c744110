"""The OpenAPI document of this API."""

from typing import Any

from fastapi import Request

from dockgate.web.api import ReadCaller, make_router, mark_self_checking

router = make_router(include_in_schema=False)


@router.get("/openapi.json")
@mark_self_checking
def get_openapi(request: Request, caller: ReadCaller) -> dict[str, Any]:
    """Get the OpenAPI document. It needs the permission read."""
    document: dict[str, Any] = request.app.openapi()
    return document
