"""The times during which services run rejected images, and what is announced of them.

Pure: no I/O, no clock.

*Judged bad* puts a service at risk, with a deadline. *Cannot be judged* changes nothing: it neither begins nor ends a
time at risk. Each kind of announcement is made once in a time at risk, also when an advisory appears and disappears
every hour: a time at risk ends when another image runs that is not rejected, or when the image has not been rejected
for a while. A deadline that moves is announced each time: it only moves to an earlier time. So is a reason that is
more severe than all before.

A clock that is behind the beginning changes nothing until it has caught up. Later, too, a clock that goes back moves no
deadline: only a verdict does that allows less time than the last one. An announcement that is later than the present
was made by a clock that was ahead: it is made again once it is true.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dockgate.shared.timestamps import CLOCK_DIFFERENCE, compute_latest_time, format_time, to_datetime
from dockgate.vulnerabilities.model import Severity


class RiskChange(StrEnum):
    """An announced change; the values are the events' detail types."""

    BEGAN = "service.at_risk"
    INCREASED = "service.risk_increased"
    DEADLINE_MOVED = "service.deadline_moved"
    DEADLINE_NEAR = "service.deadline_near"
    DEADLINE_PASSED = "service.deadline_passed"
    ENDED = "service.recovered"


@dataclass(frozen=True, slots=True)
class RiskTerms:
    """The times at which a deadline is announced, and at which a service has recovered.

    `notice` is how long before the deadline it is announced, `recovery` how long an image must not be rejected.
    """

    notice: timedelta = timedelta(days=1)
    recovery: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RunningVerdict:
    """The verdict on the image that a service runs.

    `rejection` is why its policies reject it now, with the `deadline` for replacing it; `cannot_judge` is why they
    cannot say. None: it is not so. `vulnerabilities` are names and severities of those that are the reason, that with
    the earliest deadline first. `severity` is that of the worst of all reasons, None without a vulnerability;
    UNTRIAGED counts as HIGH.
    """

    image: str
    rejection: str | None = None
    deadline: str | None = None
    cannot_judge: str | None = None
    vulnerabilities: tuple[tuple[str, str], ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class TimeAtRisk:
    """A time at risk of a service, since `began_at`. `summary` is why `image` is rejected, or was at last.

    `allowed_seconds` is how much time the last verdict that rejected it allowed from then on. `severity` is that of the
    worst vulnerability of the image that was a reason since, None if there was none.
    `near_at` and `passed_at` are when the deadline was announced, `accepted_since` since when the image is not rejected
    any more; None: not yet.
    """

    service: str
    image: str
    summary: str
    began_at: str
    deadline: str
    allowed_seconds: int
    near_at: str | None = None
    passed_at: str | None = None
    accepted_since: str | None = None
    severity: Severity | None = None


def advance(
    service: str, present: TimeAtRisk | None, verdict: RunningVerdict | None, now: datetime, terms: RiskTerms
) -> tuple[TimeAtRisk | None, tuple[RiskChange, ...]]:
    """Return the service's time at risk after a verdict, None for no verdict, and what is to be announced.

    A deadline is never moved to a later time within one time at risk.
    """
    time = format_time(now)
    is_accepted = verdict is not None and verdict.rejection is None and verdict.cannot_judge is None
    if present is not None and verdict is not None and is_accepted and verdict.image != present.image:
        return None, (RiskChange.ENDED,)
    if present is not None and time < present.began_at:
        return present, ()
    changes: list[RiskChange] = []
    if verdict is not None and verdict.rejection is not None and verdict.deadline is not None:
        present, changes = _reject(service, present, verdict, verdict.rejection, verdict.deadline, time)
    elif present is not None and is_accepted:
        present = replace(present, accepted_since=present.accepted_since or time)
    if present is None:
        return None, ()
    if present.accepted_since is not None:
        accepted_since = min(present.accepted_since, compute_latest_time(time))
        if now - to_datetime(accepted_since) >= terms.recovery:
            return None, (RiskChange.ENDED,)
        return replace(present, accepted_since=accepted_since), tuple(changes)
    deadline_at, began_at = to_datetime(present.deadline), to_datetime(present.began_at)
    notice = max(timedelta(), min(terms.notice, (deadline_at - began_at) / 2))
    has_passed = _is_announced(present.passed_at, time)
    if now >= deadline_at and not has_passed:
        present = replace(present, passed_at=time)
        changes = [*_drop_updates(changes), RiskChange.DEADLINE_PASSED]
    elif deadline_at - notice <= now < deadline_at and not _is_announced(present.near_at, time) and not has_passed:
        present = replace(present, near_at=time)
        changes = [*_drop_updates(changes), RiskChange.DEADLINE_NEAR]
    return present, tuple(changes)


def _reject(
    service: str, present: TimeAtRisk | None, verdict: RunningVerdict, rejection: str, deadline: str, time: str
) -> tuple[TimeAtRisk, list[RiskChange]]:
    """Begin a time at risk, or continue the present one with another verdict that rejects the image."""
    allowed_time = to_datetime(deadline) - to_datetime(time)
    seconds = round(allowed_time.total_seconds())
    if present is None:
        risk = TimeAtRisk(service, verdict.image, rejection, time, deadline, seconds, severity=verdict.severity)
        return risk, [RiskChange.BEGAN]
    changes = []
    is_stricter = allowed_time < timedelta(seconds=present.allowed_seconds) - CLOCK_DIFFERENCE
    has_moved = is_stricter and deadline < present.deadline
    severity = _choose_worse(present.severity, verdict.severity)
    if has_moved and not _is_announced(present.passed_at, time):
        changes.append(RiskChange.DEADLINE_MOVED)
    elif severity != present.severity:
        changes.append(RiskChange.INCREASED)
    present = replace(
        present,
        image=verdict.image,
        summary=rejection,
        deadline=deadline if has_moved else present.deadline,
        allowed_seconds=seconds,
        accepted_since=None,
        severity=severity if verdict.image == present.image else verdict.severity,
    )
    return present, changes


def _choose_worse(present: Severity | None, new: Severity | None) -> Severity | None:
    """The worse of two severities, None for neither."""
    return min(
        (severity for severity in (present, new) if severity is not None), key=lambda each: each.rank, default=None
    )


def _drop_updates(changes: Sequence[RiskChange]) -> list[RiskChange]:
    """The changes before one that says the new deadline and the new reasons, too."""
    return [change for change in changes if change not in (RiskChange.DEADLINE_MOVED, RiskChange.INCREASED)]


def _is_announced(announced_at: str | None, time: str) -> bool:
    """Return whether an announcement was made by now. One that is later was made by a clock that was ahead."""
    return announced_at is not None and announced_at <= compute_latest_time(time)
