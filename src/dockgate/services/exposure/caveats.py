"""What an answer to where something is leaves open: sentences for people, kinds for programs. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from dockgate.services.exposure.conclusion import ExposureState, QuestionScope
from dockgate.shared.wording import describe_moved_images


class CaveatKind(StrEnum):
    """Why an answer is no all-clear even if it names no image.

    UNKNOWN_NAME: neither an advisory nor an image has the name. LIMITED: some repositories were not searched, because
    the caller may not see them. LEFT_OUT: images that no tag names any more contain it.
    """

    UNKNOWN_NAME = "UnknownName"
    LIMITED = "Limited"
    LEFT_OUT = "LeftOut"


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something that an answer leaves open. `advice` is the next step, null if there is none."""

    kind: CaveatKind
    sentence: str
    advice: str | None


def list_caveats(state: ExposureState, checked_at: str | None, scope: QuestionScope, moved_count: int) -> list[Caveat]:
    """What the answer to a question leaves open.

    `checked_at` is the last check of the feed that was checked longest ago, None if there is no feed.
    """
    caveats = []
    if state is ExposureState.UNKNOWN_NAME:
        caveats.append(_describe_unknown_name(checked_at, scope))
    if scope.is_limited:
        caveats.append(
            Caveat(
                CaveatKind.LIMITED,
                "Only the repositories that the caller may see were searched: images in others may contain it.",
                "Ask someone who may see all repositories.",
            )
        )
    if moved_count:
        caveats.append(Caveat(CaveatKind.LEFT_OUT, f"{describe_moved_images(moved_count)}.", None))
    return caveats


def _describe_unknown_name(checked_at: str | None, scope: QuestionScope) -> Caveat:
    reason = "this server knows no advisory of this name"
    if not scope.is_vulnerability:
        images = "image in the searched repositories" if scope.is_limited else "image of this server"
        reason = f"no advisory names such a package, and no {images} is known to have one"
    age = "This server has read no feed yet."
    if checked_at is not None:
        age = f"Every feed was checked on {checked_at[:10]} at {checked_at[11:16]} UTC or later."
    return Caveat(
        CaveatKind.UNKNOWN_NAME,
        f"It is unknown whether an image contains it: {reason}. {age}",
        "Check the spelling, or have the server fetch its feeds: `dockgate db refresh`.",
    )
