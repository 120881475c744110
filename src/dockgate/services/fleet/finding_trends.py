"""Trends of 90 days: open vulnerabilities by severity, how long fixes take, and verdicts.

A vulnerability is open while some tag names an image with a package that has it. It is fixed when no such image is
left; not when an advisory is withdrawn.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median

from dockgate.gate.model import Status
from dockgate.services.clock import ServerClock
from dockgate.shared.timestamps import format_time, list_last_days, parse_time
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope, MatchingState
from dockgate.store.fleet.trends import ALWAYS, FindingLife, Period
from dockgate.vulnerabilities.model import Severity

DAYS = 90
# A shorter window that is shown, too.
SHORT_DAYS = 30
# An answer is used again for so many times the time that it took, and at most for so many seconds: computing never
# takes more than a hundredth of the time, and the first images of a small fleet are seen at once.
FRESH_FACTOR, FRESH_SECONDS = 100.0, 600.0


@dataclass(frozen=True, slots=True)
class Fixes:
    """The number of vulnerabilities fixed in some days, and their median age then: None if there are none."""

    count: int
    median_days: float | None


@dataclass(frozen=True, slots=True)
class SeverityTrend:
    """`open` counts the open vulnerabilities at the end of each day, the last is now.

    A day is null if no package was matched with advisories until then. Fixes by number of days.
    """

    severity: Severity
    open: list[int | None]
    fixes: dict[int, Fixes]


@dataclass(frozen=True, slots=True)
class VerdictTrend:
    """`counts` are the verdicts of each day."""

    status: Status
    counts: list[int]


@dataclass(frozen=True, slots=True)
class FindingTrends:
    """Trends of the last days (YYYY-MM-DD, oldest first).

    `begins_on` is the first day of which anything is known.
    """

    days: list[str]
    severities: list[SeverityTrend]
    verdicts: list[VerdictTrend]
    begins_on: str | None


@dataclass(frozen=True, slots=True)
class _OpenTime:
    """A time in which a vulnerability was open. `is_fixed`: it ended because no image has it any more."""

    severity: Severity
    since: str
    until: str
    is_fixed: bool


@dataclass(slots=True)
class TrendReader:
    """A reader of trends, which remembers them for a while.

    One call computes; others meanwhile get what was remembered.
    """

    store: Store
    clock: ServerClock
    monotonic: Callable[[], float] = time.monotonic
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _cache: tuple[datetime, float, FindingTrends, MatchingState] | None = None

    def read(self) -> tuple[FindingTrends, MatchingState]:
        """The trends of the last DAYS days, and how far images were scanned and matched then."""
        cache = self._cache
        if cache is not None and (self._is_fresh(*cache[:2]) or self._turn.locked()):
            return cache[2:]
        with self._turn:
            cache = self._cache  # another call may just have computed
            if cache is None or not self._is_fresh(*cache[:2]):
                now, begin = self.clock(), self.monotonic()
                with self.store.database.read():
                    trends, state = compute_trends(self.store, now), self._read_matching_state()
                self._cache = cache = now, self.monotonic() - begin, trends, state
            return cache[2:]

    def _read_matching_state(self) -> MatchingState:
        scope = ExposureScope()
        index_state = self.store.component_search.read_index_state(scope=scope)
        return MatchingState(index_state, self.store.exposures.list_unindexed_images(scope))

    def _is_fresh(self, computed_at: datetime, seconds: float) -> bool:
        age = abs((self.clock() - computed_at).total_seconds())
        return age < min(FRESH_SECONDS, seconds * FRESH_FACTOR)


def compute_trends(store: Store, now: datetime) -> FindingTrends:
    """Compute the trends as of a time."""
    days = list_last_days(now, DAYS)
    with store.database.read():
        periods = store.trends.list_component_periods()
        open_times = list(_list_open_times(periods, store.trends.list_lives()))
        counts = store.trends.count_verdicts_by_day(days[0])
        begin = store.exposures.read_history_begin()
    retained_since, present_time = begin.retained_since, format_time(now)
    is_known = [begin.has_findings_at(min(f"{day}T23:59:59.999Z", present_time)) for day in days]
    severities = [_compute_severity_trend(severity, open_times, days, is_known) for severity in Severity]
    verdicts = [VerdictTrend(status, [counts.get((day, status), 0) for day in days]) for status in Status]
    begins_on = min([*(entry.since[:10] for entry in open_times), *(day for day, _ in counts)], default=None)
    if retained_since is not None and begins_on is not None:
        begins_on = max(begins_on, retained_since[:10])
    return FindingTrends(days, severities, verdicts, begins_on)


def count_open(times: Iterable[tuple[str, str]], days: Sequence[str]) -> list[int]:
    """Count the times (since, until) that last at the end of each of the consecutive days."""
    changes = [0] * (len(days) + 1)
    for since, until in times:
        first, end = max(since[:10], days[0]), until[:10]
        if first >= end or first > days[-1]:
            continue
        changes[_compute_position(days, first)] += 1
        if end <= days[-1]:
            changes[_compute_position(days, end)] -= 1
    total, counts = 0, []
    for change in changes[:-1]:
        total += change
        counts.append(total)
    return counts


def _compute_position(days: Sequence[str], day: str) -> int:
    return (date.fromisoformat(day) - date.fromisoformat(days[0])).days


def _list_open_times(periods: Mapping[int, Period], lives: Iterable[FindingLife]) -> Iterator[_OpenTime]:
    """Return when each vulnerability was open in any package, without gaps where packages follow each other."""
    by_vulnerability: dict[int, list[_OpenTime]] = {}
    for life in lives:
        period = periods.get(life.component)
        if period is None:
            continue
        since, until = max(period.since, life.opened_at), min(period.until, life.closed_at)
        if since < until:
            is_fixed = period.until <= life.closed_at
            by_vulnerability.setdefault(life.vulnerability, []).append(_OpenTime(life.severity, since, until, is_fixed))
    for times in by_vulnerability.values():
        times.sort(key=lambda entry: entry.since)
        open_time = times[0]
        for next_time in times[1:]:
            if next_time.since > open_time.until:
                yield open_time
                open_time = next_time
            else:
                last = max(open_time, next_time, key=lambda entry: entry.until)
                severity = min(open_time.severity, next_time.severity, key=lambda severity: severity.rank)
                open_time = _OpenTime(severity, open_time.since, last.until, last.is_fixed)
        yield open_time


def _compute_severity_trend(
    severity: Severity, open_times: Sequence[_OpenTime], days: Sequence[str], is_known: Sequence[bool]
) -> SeverityTrend:
    times = [entry for entry in open_times if entry.severity is severity]
    fixed_times = [entry for entry in times if entry.is_fixed and entry.until != ALWAYS]
    fixes = {}
    for count in (SHORT_DAYS, DAYS):
        ages = [_compute_age(entry) for entry in fixed_times if entry.until[:10] >= days[-count]]
        fixes[count] = Fixes(len(ages), median(ages) if ages else None)
    counts = count_open([(entry.since, entry.until) for entry in times], days)
    known_counts = [count if is_known_day else None for count, is_known_day in zip(counts, is_known, strict=True)]
    return SeverityTrend(severity, known_counts, fixes)


def _compute_age(entry: _OpenTime) -> float:
    """Return how many days a finding was open, 0 if one of its times cannot be read."""
    since, until = parse_time(entry.since), parse_time(entry.until)
    return (until - since).total_seconds() / 86_400 if since and until else 0.0
