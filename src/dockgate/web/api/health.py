"""Whether the server answers: for whoever watches over it, with no token."""

from dataclasses import dataclass

from fastapi import APIRouter

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Health:
    status: str


@router.get("/health")
async def health() -> Health:
    """That the server answers; nothing more, since anybody may ask."""
    # A coroutine, which needs no thread: it answers however many calls there are.
    return Health("ok")
