"""What an answer to where something is leaves open: sentences for people, kinds for programs. Pure."""

from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class AdvisoryAge:
    """How old the advisories are that do not have a name.

    `checked_at` is the last check of the feed that was checked longest ago, None if there is no feed, or if the
    advisories cannot be read (`error`).
    """

    checked_at: str | None
    error: str | None = None


def list_caveats(
    *, is_vulnerability: bool, is_limited: bool, moved_count: int, unknown_name: AdvisoryAge | None
) -> list[Caveat]:
    """What the answer to a question leaves open. `unknown_name` is None if something has the name."""
    caveats = []
    if unknown_name:
        caveats.append(_describe_unknown_name(unknown_name, is_vulnerability=is_vulnerability, is_limited=is_limited))
    if is_limited:
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


def _describe_unknown_name(age: AdvisoryAge, *, is_vulnerability: bool, is_limited: bool) -> Caveat:
    if age.error:
        sentence = f"The advisories cannot be read, so nothing is known of this name: {age.error}"
        return Caveat(CaveatKind.UNKNOWN_NAME, sentence, None)
    reason = "this server knows no advisory of this name"
    if not is_vulnerability:
        images = "no image in the searched repositories" if is_limited else "no image of this server"
        reason = f"no advisory names such a package, and {images} has one"
    sentence = f"It is unknown whether an image contains it: {reason}. {_describe_age(age)}"
    advice = "Check the spelling, or have the server fetch its feeds: `dockgate db refresh`."
    return Caveat(CaveatKind.UNKNOWN_NAME, sentence, advice)


def _describe_age(age: AdvisoryAge) -> str:
    if age.checked_at is None:
        return "This server has read no feed yet."
    return f"Every feed was checked on {age.checked_at[:10]} at {age.checked_at[11:16]} UTC or later."
