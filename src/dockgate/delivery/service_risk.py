"""When services run rejected images, and which of the changes are announced.

Pure: no I/O, no clock.

*Judged bad* puts a service at risk, with a deadline. *Cannot be judged* changes nothing: it neither begins nor ends a
time at risk. Each kind of announcement is made once in a time at risk, also when an advisory appears and disappears
every hour: a time at risk ends when another image runs that is not rejected, or when the image has not been rejected
for a while. Two things are announced each time: a deadline that moves, always to an earlier time, and a reason that is
more severe than all before.

If a recorded time is in the future, either it or the clock is wrong. For BELIEVED_AFTER, nothing changes that depends
on time. If the clock catches up, all goes on as before. Otherwise the recorded times are reset to when the conflict
began: announcements are made again once they are true, and the next verdict gives the deadline.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from dockgate.shared.timestamps import CLOCK_DIFFERENCE, compute_latest_time, format_time, to_datetime
from dockgate.vulnerabilities.model import Severity

BELIEVED_AFTER = timedelta(days=1)


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
    """The verdict on the image that a service runs, None if it runs nothing.

    `rejection` is why its policies reject it now, None if they do not; `deadline` is when it must be replaced then.
    `cannot_judge` is why they cannot judge it, None if they can. `vulnerabilities` are names and severities of those
    that cause the rejection, the earliest deadline first. `severity` is the worst of all causes, None without a
    vulnerability; UNTRIAGED counts as HIGH.
    """

    image: str | None
    rejection: str | None = None
    deadline: str | None = None
    cannot_judge: str | None = None
    vulnerabilities: tuple[tuple[str, str], ...] = ()
    severity: Severity | None = None

    @property
    def is_approved(self) -> bool:
        """Return whether all policies approve the image now."""
        return self.rejection is None and self.cannot_judge is None


class RecordedRisk(NamedTuple):
    """The recorded risk of a service after its last verdict: another process may change it.

    The fields are those of `Service`, and `behind_since` that of its `TimeAtRisk`.
    """

    at_risk: str | None = None
    at_risk_until: str | None = None
    cannot_judge: str | None = None
    behind_since: str | None = None


@dataclass(frozen=True, slots=True)
class TimeAtRisk:
    """A time at risk of a service. It began at `began_at`.

    `summary` is why `image` is or was last rejected. `limited_at` is the time of the verdict that set the `deadline`.
    `severity` is the worst one of a vulnerability that was a cause since then, None without one. `near_at` and
    `passed_at` are when it was announced that the deadline is near, and that it has passed; None before.
    `accepted_since` is when the image stopped being rejected, None while it is. `behind_since` is when the clock was
    first seen to be behind one of these times, None if it is not behind.
    """

    service: str
    image: str
    summary: str
    began_at: str
    deadline: str
    limited_at: str
    near_at: str | None = None
    passed_at: str | None = None
    accepted_since: str | None = None
    severity: Severity | None = None
    behind_since: str | None = None


def advance(
    service: str, present_risk: TimeAtRisk | None, verdict: RunningVerdict | None, now: datetime, terms: RiskTerms
) -> tuple[TimeAtRisk | None, tuple[RiskChange, ...]]:
    """Return the service's time at risk after a verdict (None: not at risk), and the changes to announce.

    Without a `verdict`, only time has passed. A deadline is never moved to a later time within one time at risk.
    """
    is_approved = verdict is not None and verdict.is_approved
    if present_risk is not None and verdict is not None and is_approved and verdict.image != present_risk.image:
        return None, (RiskChange.ENDED,)
    risk = _follow_clock(present_risk, now) if present_risk is not None else None
    if verdict is not None and verdict.image and verdict.rejection is not None and verdict.deadline is not None:
        if risk is None:
            times = format_time(now), verdict.deadline, format_time(now)
            began = TimeAtRisk(service, verdict.image, verdict.rejection, *times, severity=verdict.severity)
            return _announce_due(began, (RiskChange.BEGAN,), now, terms)
        risk = _reject(risk, verdict, verdict.rejection, verdict.deadline, now)
    elif risk is not None and is_approved and risk.behind_since is None:
        risk = replace(risk, accepted_since=risk.accepted_since or format_time(now))
    if present_risk is None or risk is None:
        return None, ()
    changes: tuple[RiskChange, ...] = ()
    if risk.deadline < present_risk.deadline:
        changes = (RiskChange.DEADLINE_MOVED,)
    elif verdict is not None and _choose_worse(present_risk.severity, verdict.severity) != present_risk.severity:
        changes = (RiskChange.INCREASED,)
    return (risk, changes) if risk.behind_since is not None else _announce_due(risk, changes, now, terms)


def explain_recovery(risk: TimeAtRisk, verdict: RunningVerdict | None) -> str:
    """Say why a time at risk has ended, and why it began. Without a verdict, only time has passed."""
    if verdict is None or verdict.image == risk.image:
        reason = "The image that runs is no longer rejected."
    elif verdict.image is None:
        reason = "Nothing runs any more: the service has 0 tasks."
    else:
        reason = "Another image runs now, which is not rejected."
    return f"{reason} Before: {risk.summary}"


def _follow_clock(risk: TimeAtRisk, now: datetime) -> TimeAtRisk:
    """Correct the recorded times if they have been in the clock's future for long enough."""
    time = format_time(now)
    recorded_times = risk.began_at, risk.limited_at, risk.near_at, risk.passed_at, risk.accepted_since
    if max(filter(None, recorded_times)) <= compute_latest_time(time):
        return replace(risk, behind_since=None)
    start = min(risk.behind_since or time, time)
    if now - to_datetime(start) < BELIEVED_AFTER:
        return replace(risk, behind_since=start)
    return replace(
        risk,
        began_at=min(risk.began_at, start),
        limited_at=min(risk.limited_at, start),
        near_at=risk.near_at if risk.near_at and risk.near_at <= start else None,
        passed_at=risk.passed_at if risk.passed_at and risk.passed_at <= start else None,
        accepted_since=risk.accepted_since and min(risk.accepted_since, start),
        behind_since=None,
    )


def _reject(risk: TimeAtRisk, verdict: RunningVerdict, rejection: str, deadline: str, now: datetime) -> TimeAtRisk:
    """Continue a time at risk with another verdict that rejects the image.

    Its deadline counts only if it is earlier, and if the clock contradicts no recorded time.
    """
    is_earlier = to_datetime(deadline) < to_datetime(risk.deadline) - CLOCK_DIFFERENCE
    if is_earlier and risk.behind_since is None:
        risk = replace(risk, deadline=deadline, limited_at=format_time(now))
    severity = _choose_worse(risk.severity, verdict.severity) if verdict.image == risk.image else verdict.severity
    image = verdict.image or risk.image
    return replace(risk, image=image, summary=rejection, accepted_since=None, severity=severity)


def _announce_due(
    risk: TimeAtRisk, changes: tuple[RiskChange, ...], now: datetime, terms: RiskTerms
) -> tuple[TimeAtRisk | None, tuple[RiskChange, ...]]:
    """Announce what time alone has caused, instead of the move if a deadline that moved is the cause."""
    due, time = _find_due(risk, now, terms), format_time(now)
    if due is None:
        return risk, changes
    if due is RiskChange.ENDED:
        return None, (due,)
    other_changes = (change for change in changes if change is not RiskChange.DEADLINE_MOVED)
    is_passed = due is RiskChange.DEADLINE_PASSED
    return replace(risk, passed_at=time) if is_passed else replace(risk, near_at=time), (*other_changes, due)


def _find_due(risk: TimeAtRisk, now: datetime, terms: RiskTerms) -> RiskChange | None:
    """Find what time alone has caused and was not announced, None for nothing."""
    if risk.accepted_since is not None:
        return RiskChange.ENDED if now - to_datetime(risk.accepted_since) >= terms.recovery else None
    if risk.passed_at is not None:
        return None
    deadline_at, began_at = to_datetime(risk.deadline), to_datetime(risk.began_at)
    if now >= deadline_at:
        return RiskChange.DEADLINE_PASSED
    notice = max(timedelta(), min(terms.notice, (deadline_at - began_at) / 2))
    return RiskChange.DEADLINE_NEAR if risk.near_at is None and now >= deadline_at - notice else None


def _choose_worse(present_severity: Severity | None, new: Severity | None) -> Severity | None:
    """The worse of two severities, None for neither."""
    return min(
        (severity for severity in (present_severity, new) if severity is not None),
        key=lambda severity: severity.rank,
        default=None,
    )
