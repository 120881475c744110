"""The health check, which needs no token."""

from dataclasses import dataclass

from fastapi import APIRouter

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Health:
    """The result of the health check."""

    status: str


@router.get("/health")
async def health() -> Health:
    """Check that the server answers. Needs no token."""
    # A coroutine needs no thread, so it answers under any load.
    return Health("ok")
