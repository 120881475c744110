"""Every route of the public application: the API, git, the registry's calls, and the console."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastapi import APIRouter
from starlette.routing import BaseRoute

from dockgate.web import git_endpoints, registry_endpoints
from dockgate.web.api import (
    approval_requests,
    approvals,
    attestations,
    collections,
    deploys,
    events,
    executions,
    exposure,
    health,
    images,
    openapi,
    pipelines,
    policies,
    principals,
    registries,
    rules,
    waivers,
    workers,
)
from dockgate.web.console.site import console_router


@dataclass(frozen=True, slots=True)
class Error:
    """Every error response: what happened, and the next step ("" for nothing)."""

    error: str
    advice: str


# Responses that any call may give.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": description}
    for status, description in {
        400: "The request is invalid.",
        401: "Authentication required: no valid token.",
        403: "Permission denied: the caller lacks the permission, or the token is limited.",
        404: "Not found.",
        409: "The present state does not allow it.",
        412: "It has changed since the client read it.",
        413: "The body is too large.",
        415: "The body is compressed.",
        422: "A parameter or the body is malformed.",
        429: "Too many requests.",
        500: "A defect of the server.",
        502: "A registry or another dependency does not answer.",
        503: "The database or the advisory database is not available.",
        507: "A disk is full.",
    }.items()
}


@cache
def public_routes() -> Sequence[BaseRoute]:
    """All routes, made once for the process."""
    router = APIRouter()
    # Paths are matched in this order. An approval's id may contain slashes, so longer paths come first.
    first = (health, openapi, pipelines, executions, approval_requests, approvals)
    others = (
        exposure,
        images,
        waivers,
        attestations,
        deploys,
        principals,
        policies,
        registries,
        rules,
        events,
        workers,
        collections,
    )
    for module in (*first, *others):
        router.include_router(module.router, prefix="/api/v1", responses=ERRORS)
    router.include_router(registry_endpoints.router)
    router.include_router(git_endpoints.router)
    router.include_router(console_router())
    return router.routes
