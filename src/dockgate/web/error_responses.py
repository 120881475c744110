"""Error responses, how the log names their requests, and how the OpenAPI document describes them."""

import secrets
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Error:
    """Every error response: what happened, and the next step, null without one."""

    error: str
    advice: str | None


def get_request_id(request: Request) -> str:
    """The id by which an error page and the server's log name a request: made on first use."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = secrets.token_hex(6)
    name: str = request.state.request_id
    return name


_CONTENT = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Error.__name__}"}}}
# Responses that any call may give. The schema is named, not given as a model, of which FastAPI would make a validator
# for each of them and each call.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"content": _CONTENT, "description": description}
    for status, description in {
        400: "The request is invalid.",
        401: "Authentication required: no valid token.",
        403: "Permission denied: the caller lacks the permission, or the token is limited.",
        404: "Not found.",
        408: "The body did not arrive in time.",
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


def add_error_schema(document: dict[str, Any]) -> None:
    """Add the schema that `ERRORS` names to an OpenAPI document."""
    components = document.setdefault("components", {})
    schemas = {**components.get("schemas", {}), Error.__name__: TypeAdapter(Error).json_schema()}
    components["schemas"] = dict(sorted(schemas.items()))
