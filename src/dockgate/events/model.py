"""Events, stored before anything follows from them.

Delivery is at least once; the id removes repetitions.
"""

from dataclasses import dataclass
from enum import StrEnum


class PushKind(StrEnum):
    """The kind of an event."""

    REPOSITORY_PUSH = "Repository Push"
    IMAGE_PUSH = "Image Push"


@dataclass(frozen=True, slots=True)
class PushEvent:
    """An event, whose `detail` maps names to text.

    `handled_at` is None until all consequences of the event are complete. A REPOSITORY_PUSH has repository, branch,
    commit, and `by` if the pusher is known; an IMAGE_PUSH has repository, digest, tag, `by` if our own registry
    reported the pusher, and `pushed_at` if the registry reported it.
    """

    id: str
    kind: PushKind
    detail: dict[str, str]
    at: str
    handled_at: str | None = None
