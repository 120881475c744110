"""How old advisory data is, and whether packages can be judged with it. Pure."""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dockgate.shared.timestamps import format_time, parse_time
from dockgate.vulnerabilities.model import Coverage, is_same_ecosystem

# The age at which a feed is stale, unless a policy says otherwise (`evidence.stale_after_days`).
STALE_AFTER = timedelta(days=7)
# A check that is further in the future was made with another clock.
CLOCK_SKEW = timedelta(days=1)
# Days with new records from which a feed's rhythm is read, and the least time after which it is suspect.
HISTORY_DAYS, LEAST_QUIET = 40, timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CannotJudge:
    """Why the database cannot judge now: the ecosystems whose feed is stale, sorted; () if there is no database.

    `since` is when the first of them became stale (RFC 3339); None if that is not known.
    """

    since: str | None
    ecosystems: tuple[str, ...]
    reason: str


def is_stale(checked_at: str, now: datetime, limit: timedelta = STALE_AFTER) -> bool:
    """Whether a check at this time is too old, unknown, or in the future."""
    then = parse_time(checked_at)
    return then is None or not -CLOCK_SKEW <= now - then < limit


def cannot_judge(
    coverage: Iterable[Coverage],
    now: datetime,
    limit: timedelta = STALE_AFTER,
    ecosystems: Collection[str] | None = None,
) -> CannotJudge | None:
    """Why packages of these ecosystems (None: of all that are covered) cannot be judged now; None if they can.

    New verdicts are then Undetermined. What runs is not at risk for it: nothing is known against it.
    """
    stale = [
        entry
        for entry in coverage
        if (ecosystems is None or any(is_same_ecosystem(entry.ecosystem, name) for name in ecosystems))
        and is_stale(entry.checked_at, now, limit)
    ]
    if not stale:
        return None
    times = [parse_time(entry.checked_at) for entry in stale]
    ends = [time + limit for time in times if time is not None and time + limit <= now]
    names = tuple(sorted(entry.ecosystem for entry in stale))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    reason = f"The advisories of {', '.join(names[:3])}{more} were last checked more than {limit.days} days ago."
    return CannotJudge(format_time(min(ends)) if ends else None, names, reason)


def quiet_limit(days: Iterable[str], newest_first: int = HISTORY_DAYS) -> timedelta | None:
    """How long a feed may bring no new record before it is suspect; None if its history is too short to say.

    `days` are those on which it published or changed records (YYYY-MM-DD). The limit is three times the longest pause
    between its last `newest_first` days: a feed with a slow rhythm is suspect later.
    """
    dates = sorted({date for day in days if (date := parse_time(day)) is not None})[-newest_first:]
    if len(dates) < HISTORY_DAYS // 2:
        return None
    longest = max(later - earlier for earlier, later in itertools.pairwise(dates))
    return max(longest * 3, LEAST_QUIET)


def suspect_since(days: Collection[str], now: datetime) -> str | None:
    """When the feed became suspect, if it is: its newest record is unusually old. Days in the future do not count."""
    past = [day for day in days if (time := parse_time(day)) is not None and time <= now + CLOCK_SKEW]
    limit, newest = quiet_limit(past), parse_time(max(past, default=""))
    if limit is None or newest is None or now - newest <= limit:
        return None
    return format_time(newest + limit)
