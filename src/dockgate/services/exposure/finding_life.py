"""The life of a finding in an image: when it was open, when it was closed, and why.

Derived, never stored. Pure. An image never changes, so its packages do not. A finding of it closes because an advisory
says something else, because the image leaves its tags, or because it is accepted; it opens again when that is over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dockgate.store.fleet.records import ClosingReason

FIRST_SEEN, WAIVER_ENDED, STATEMENT_ENDED = "first seen", "waiver ended", "VEX statement withdrawn"
TAG_BACK = "tag moved back"
_MOVE_REASONS = (ClosingReason.MOVED, ClosingReason.UPGRADED, ClosingReason.REMOVED)
# Why a finding that was accepted so is open again.
_ENDINGS = {ClosingReason.WAIVED: WAIVER_ENDED, ClosingReason.VEX: STATEMENT_ENDED}


@dataclass(frozen=True, slots=True)
class LifeStep:
    """A finding opens or closes.

    `why` closed it or opened it again; `by` is the waiver's or document's id.
    """

    at: str
    is_open: bool
    why: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Excuse:
    """A time from which a finding does not count, or counts again.

    `by` is the waiver or document; `reason` is WAIVED or VEX, None from when it counts.
    """

    at: str
    reason: ClosingReason | None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """A time in which an image had a finding.

    `until` is None while it has; `reason` (`ClosingReason`) ended it.
    """

    since: str
    until: str | None = None
    reason: str | None = None


def describe_life(presences: Iterable[Presence], excuses: Sequence[Excuse], now: str) -> list[LifeStep]:
    """The steps of a life until a time, the oldest first. `excuses` are in the order of their times."""
    steps: list[LifeStep] = []
    for presence in sorted(presences, key=lambda entry: entry.since):
        if presence.since > now:
            break
        steps.append(LifeStep(presence.since, True, _explain_opening(steps)))
        earlier_excuses = [excuse for excuse in excuses if excuse.at <= presence.since]
        present_excuse = earlier_excuses[-1] if earlier_excuses else None
        if present_excuse is not None and present_excuse.reason is not None:
            steps.append(LifeStep(presence.since, False, present_excuse.reason, present_excuse.by))
        for excuse in excuses[len(earlier_excuses) :]:
            if excuse.at > now or (presence.until is not None and excuse.at >= presence.until):
                break
            if excuse.reason is not None and (present_excuse is None or present_excuse.reason is not excuse.reason):
                steps.append(LifeStep(excuse.at, False, excuse.reason, excuse.by))
            elif excuse.reason is None and present_excuse is not None and present_excuse.reason is not None:
                steps.append(LifeStep(excuse.at, True, _ENDINGS[present_excuse.reason], present_excuse.by))
            present_excuse = excuse if excuse.reason is not None else None
        if presence.until is not None and presence.until <= now:
            steps.append(LifeStep(presence.until, False, presence.reason or ClosingReason.MOVED))
    return _drop_moments(steps)


def _explain_opening(steps: Sequence[LifeStep]) -> str:
    if not steps:
        return FIRST_SEEN
    return TAG_BACK if steps[-1].why in _MOVE_REASONS else steps[-1].why


def _drop_moments(steps: Sequence[LifeStep]) -> list[LifeStep]:
    """Return the steps without those that others at the same time undo; the first one stays."""
    remaining: list[LifeStep] = []
    for step in steps:
        while len(remaining) > 1 and remaining[-1].at == step.at:
            remaining.pop()
        if not remaining or (remaining[-1].is_open, remaining[-1].why) != (step.is_open, step.why):
            remaining.append(step)
    return remaining
