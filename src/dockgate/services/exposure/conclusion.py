"""The conclusion of an answer to where something is, the same in pages, tables and reports. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from dockgate.shared.certainty import Certainty
from dockgate.shared.wording import format_count


class ExposureState(StrEnum):
    """The answer: some image contains it, or none of those that were searched and could be judged.

    The others are no answers. UNDETERMINED: the advisories cannot be read, or were not matched with images yet.
    NOT_RECORDED: the question is about a time before anything was recorded. UNKNOWN_NAME: neither an advisory nor a
    searched image has the name.
    """

    PRESENT = "Present"
    ABSENT = "Absent"
    UNDETERMINED = "Undetermined"
    NOT_RECORDED = "NotRecorded"
    UNKNOWN_NAME = "UnknownName"


class QuestionScope(NamedTuple):
    """The scope of a question. A limited one is about some repositories only."""

    is_vulnerability: bool
    is_limited: bool
    is_past: bool


class Outcome(NamedTuple):
    """A state with the number of images that contain it, and of those of which it is unknown.

    `total` is None while nothing is known, `unknown` while it is unknown of every other image, for the `reason`.
    """

    state: ExposureState
    total: int | None
    unknown: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The answer in one sentence, and what its numbers mean.

    `certainty` says whether images and services may be missing in the answer. `is_all_clear`: no image contains it, and
    nothing is left open.
    """

    sentence: str
    certainty: Certainty
    is_all_clear: bool


def determine_outcome(
    total: int, unknown: int, *, is_known: bool | None, not_recorded: str | None, not_judged: str | None
) -> Outcome:
    """Return the outcome of a search that found so many images, and so many unknown ones.

    `is_known`: something has the name, None if the advisories cannot be read. `not_recorded` says why nothing is
    recorded of the time, `not_judged` why no image can be judged; None if neither is so.
    """
    reason = not_recorded or not_judged
    if total:
        return Outcome(ExposureState.PRESENT, total, None if reason else unknown, reason)
    if is_known is False:
        return Outcome(ExposureState.UNKNOWN_NAME, None, None, reason)
    if not_recorded:
        return Outcome(ExposureState.NOT_RECORDED, None, None, reason)
    if reason or not is_known:
        return Outcome(ExposureState.UNDETERMINED, None, None, reason)
    return Outcome(ExposureState.ABSENT, total, unknown, None)


def draw_conclusion(
    outcome: Outcome, scope: QuestionScope, *, services: int, moved_count: int, stale_feed_count: int = 0
) -> Conclusion:
    """Return the conclusion.

    `services` is the number of those that run an image that contains it, `moved_count` that of such images without tag.
    With stale feeds, newer advisories are unknown: more images may contain it.
    """
    certainty = Certainty.COMPLETE
    if outcome.total is None:
        certainty = Certainty.UNKNOWN
    elif scope.is_limited or outcome.unknown != 0 or stale_feed_count:
        certainty = Certainty.PARTIAL
    text = _describe(outcome, scope, services, moved_count)
    if stale_feed_count and certainty is not Certainty.UNKNOWN:
        text += f"; {format_count(stale_feed_count, 'feed')} {'is' if stale_feed_count == 1 else 'are'} stale"
    if scope.is_limited and certainty is not Certainty.UNKNOWN:
        text = f"in the searched repositories, {text}"
    is_all_clear = outcome.total == 0 and certainty is Certainty.COMPLETE and not moved_count
    return Conclusion(f"{text[0].upper()}{text[1:]}.", certainty, is_all_clear)


def _describe(outcome: Outcome, scope: QuestionScope, services: int, moved_count: int) -> str:
    if outcome.state is ExposureState.UNKNOWN_NAME:
        name = "has this name" if scope.is_vulnerability else "and no searched image has a package of this name"
        return f"unknown: no advisory of this server {name}"
    if outcome.state is ExposureState.NOT_RECORDED:
        return "unknown: the history does not reach back so far"
    if outcome.total is None:
        return f"it is unknown whether an image {'contained' if scope.is_past else 'contains'} it"
    text = _describe_images(outcome.total, scope, services, moved_count)
    if outcome.unknown is None:
        return f"{text}; of every other image it is unknown"
    return f"{text}; of {format_count(outcome.unknown, 'image')} it is unknown" if outcome.unknown else text


def _describe_images(total: int, scope: QuestionScope, services: int, moved_count: int) -> str:
    if not total:
        tag = "with a tag " if moved_count else ""
        return f"no image {tag}{'was known to contain it then' if scope.is_past else 'is known to contain it'}"
    images = format_count(total, "image")
    if scope.is_past:  # which services ran then is not recorded
        return f"{images} contained it then"
    verb, running = ("contains", "it") if total == 1 else ("contain", "one of them")
    if not services:
        return f"{images} {verb} it, and no service is known to run {running}"
    return f"{images} {verb} it, and {format_count(services, 'service')} run{'s' if services == 1 else ''} {running}"
