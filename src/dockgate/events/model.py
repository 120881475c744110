"""Events: what happened, stored before anything follows from it. Delivery is at least once; the id makes it count
once."""

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    REPOSITORY_PUSH = "Repository Push"
    IMAGE_PUSH = "Image Push"


@dataclass(frozen=True, slots=True)
class Event:
    """`detail` is flat text; `handled_at` is "" while what follows from the event has not all been done.

    A REPOSITORY_PUSH has repository, branch, commit, and `by` where it is known who pushed; an IMAGE_PUSH has
    repository, digest, tag, and `by` where our own registry told who pushed.
    """

    id: str
    kind: EventKind
    detail: dict[str, str]
    at: str
    handled_at: str = ""
