"""The times during which services run rejected images, and what is announced of them.

Pure: no I/O, no clock.

*Judged bad* puts a service at risk, with a deadline. *Cannot be judged* changes nothing: it neither begins nor ends a
time at risk. Each kind of announcement is made once in a time at risk, also when an advisory appears and disappears
every hour: a time at risk ends when another image runs that is not rejected, or when the image has not been rejected
for a while. A deadline that moves is announced each time: it only moves to an earlier time. So is a reason that is
more severe than all before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dockgate.shared.timestamps import compute_latest_time, format_time, to_datetime
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

    `severity` is that of the worst vulnerability of the image that was a reason since, None if there was none.
    `near_at` and `passed_at` are when the deadline was announced, `accepted_since` since when the image is not rejected
    any more; None: not yet.
    """

    service: str
    image: str
    summary: str
    began_at: str
    deadline: str
    near_at: str | None = None
    passed_at: str | None = None
    accepted_since: str | None = None
    severity: Severity | None = None


def advance(
    service: str, present: TimeAtRisk | None, verdict: RunningVerdict | None, now: datetime, terms: RiskTerms
) -> tuple[TimeAtRisk | None, tuple[RiskChange, ...]]:
    """Return the service's time at risk after a verdict, None for no verdict, and what is to be announced.

    A deadline is never moved to a later time within one time at risk. What was recorded by a clock that was ahead is
    not so yet.
    """
    changes: list[RiskChange] = []
    time = format_time(now)
    was_ahead = present is not None and present.began_at > compute_latest_time(time)
    present = _drop_future(present, compute_latest_time(time)) if present is not None else None
    if verdict is not None and verdict.rejection is not None and verdict.deadline is not None:
        if present is None:
            present = TimeAtRisk(
                service, verdict.image, verdict.rejection, time, verdict.deadline, severity=verdict.severity
            )
            changes.append(RiskChange.BEGAN)
        else:
            deadline = min(present.deadline, verdict.deadline)
            severity = _choose_worse(present.severity, verdict.severity)
            if deadline < present.deadline and not was_ahead and present.passed_at is None:
                changes.append(RiskChange.DEADLINE_MOVED)
            elif severity != present.severity:
                changes.append(RiskChange.INCREASED)
            present = replace(
                present,
                image=verdict.image,
                summary=verdict.rejection,
                deadline=deadline,
                accepted_since=None,
                severity=severity if verdict.image == present.image else verdict.severity,
            )
    elif verdict is not None and verdict.cannot_judge is None and present is not None:
        if verdict.image != present.image:
            return None, (RiskChange.ENDED,)
        present = replace(present, accepted_since=present.accepted_since or time)
    if present is None:
        return None, ()
    if present.accepted_since is not None:
        if now - to_datetime(present.accepted_since) >= terms.recovery:
            return None, (RiskChange.ENDED,)
        return present, tuple(changes)
    deadline_at, began_at = to_datetime(present.deadline), to_datetime(present.began_at)
    notice = max(timedelta(), min(terms.notice, (deadline_at - began_at) / 2))
    if now >= deadline_at and present.passed_at is None:
        present = replace(present, passed_at=time)
        changes = [*_drop_updates(changes), RiskChange.DEADLINE_PASSED]
    elif deadline_at - notice <= now < deadline_at and present.near_at is None and present.passed_at is None:
        present = replace(present, near_at=time)
        changes = [*_drop_updates(changes), RiskChange.DEADLINE_NEAR]
    return present, tuple(changes)


def _choose_worse(present: Severity | None, new: Severity | None) -> Severity | None:
    """The worse of two severities, None for neither."""
    return min(
        (severity for severity in (present, new) if severity is not None), key=lambda each: each.rank, default=None
    )


def _drop_updates(changes: Sequence[RiskChange]) -> list[RiskChange]:
    """The changes before one that says the new deadline and the new reasons, too."""
    return [change for change in changes if change not in (RiskChange.DEADLINE_MOVED, RiskChange.INCREASED)]


def _drop_future(risk: TimeAtRisk, latest_time: str) -> TimeAtRisk:
    """The time at risk without what a clock recorded that was ahead: what is later than `latest_time`."""
    return replace(
        risk,
        began_at=min(risk.began_at, latest_time),
        near_at=risk.near_at if risk.near_at is not None and risk.near_at <= latest_time else None,
        passed_at=risk.passed_at if risk.passed_at is not None and risk.passed_at <= latest_time else None,
        accepted_since=None if risk.accepted_since is None else min(risk.accepted_since, latest_time),
    )
