"""The age of advisory data, and whether a feed has gone quiet. Pure."""

import itertools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from dockgate.shared.timestamps import format_time, parse_time, shift_time
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities.model import Coverage

# The age at which a feed is stale, unless a policy says otherwise (`evidence.stale_after_days`).
STALE_AFTER = timedelta(days=7)
# A check that is further in the future was made with another clock.
CLOCK_SKEW = timedelta(days=1)
# Days with new records from which a feed's rhythm is read, and the least time after which it is suspect.
HISTORY_DAYS, LEAST_QUIET = 40, timedelta(days=7)


def is_stale(checked_at: str | None, now: datetime, limit: timedelta = STALE_AFTER) -> bool:
    """Return whether a check at this time is too old, unknown, or in the future."""
    checked_time = parse_time(checked_at)
    return checked_time is None or not -CLOCK_SKEW <= now - checked_time < limit


def list_staleness_times(coverage: Iterable[Coverage], limit: timedelta) -> Iterator[datetime]:
    """Yield the times at which each check is no longer in the future, and is as old as the limit."""
    for checked_time in filter(None, (parse_time(entry.checked_at) for entry in coverage)):
        yield shift_time(checked_time, -CLOCK_SKEW)
        yield shift_time(checked_time, limit)


def describe_staleness(
    subject: str, event: str, at: str | None, now: datetime, limit: timedelta = STALE_AFTER, advice: str | None = None
) -> str | None:
    """Return in a sentence why data of a time is stale, None if it is not.

    `event` is what happened to the `subject` at that time: "was last checked". `advice` follows a colon.
    """
    checked_time = parse_time(at)
    suffix = f": {advice}" if advice else ""
    if checked_time is None:
        return f"{subject} does not say when it {event}{suffix}."
    age = now - checked_time
    if age < -CLOCK_SKEW:
        return f"{subject} {event} in the future, at {at}: correct the clocks{f' and {advice}' if advice else ''}."
    if age < limit:
        return None
    days = format_count(limit.days, "day")
    return f"{subject} {event} {age.days} days ago, at {at}; it is stale after {days}{suffix}."


def compute_quiet_limit(days: Iterable[str]) -> timedelta | None:
    """Return how long a feed may bring no new record before it is suspect.

    None if its history is too short to say. `days` are those on which it published or changed records (YYYY-MM-DD). The
    limit is three times the longest pause between its last HISTORY_DAYS days: a feed with a slow rhythm is suspect
    later.
    """
    dates = sorted({date for day in days if (date := parse_time(day)) is not None})[-HISTORY_DAYS:]
    if len(dates) < HISTORY_DAYS // 2:
        return None
    longest = max(next_date - first_date for first_date, next_date in itertools.pairwise(dates))
    return max(longest * 3, LEAST_QUIET)


def find_suspect_start(days: Collection[str], now: datetime) -> str | None:
    """Return when the feed became suspect, if it is: its newest record is unusually old.

    Days in the future do not count.
    """
    past = [day for day in days if (time := parse_time(day)) is not None and time <= now + CLOCK_SKEW]
    limit, newest_date = compute_quiet_limit(past), parse_time(max(past, default=""))
    if limit is None or newest_date is None or now - newest_date <= limit:
        return None
    return format_time(newest_date + limit)
