"""The OpenAPI document of this API."""

from typing import Any

from fastapi import Request

from dockgate.web.api import Reader, api_router, checks_token_limits

router = api_router(include_in_schema=False)


@router.get("/openapi.json")
@checks_token_limits
def openapi(request: Request, caller: Reader) -> dict[str, Any]:
    """Get the OpenAPI document. It needs the permission read."""
    document: dict[str, Any] = request.app.openapi()
    return document
