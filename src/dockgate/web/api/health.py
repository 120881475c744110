"""Whether the server answers: for whoever watches over it, with no token."""

from dataclasses import dataclass

from fastapi import APIRouter

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Health:
    status: str


@router.get("/health")
def health() -> Health:
    """That the server answers; nothing more, since anybody may ask."""
    return Health("ok")
