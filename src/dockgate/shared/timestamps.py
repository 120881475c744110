"""RFC 3339 times: parse, format and compare them."""

from datetime import UTC, datetime, timedelta

# Two servers' clocks differ by less. What lies further in the future was written by a clock that was wrong.
CLOCK_DIFFERENCE = timedelta(minutes=5)


def parse_time(text: str | None) -> datetime | None:
    """Read RFC 3339, or a date (its first instant in UTC).

    None for None, other text, and outside of UTC's years.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time


def to_datetime(text: str) -> datetime:
    """Read RFC 3339 that was checked when it was stored. Raises ValueError."""
    return datetime.fromisoformat(text)


def format_time(time: datetime) -> str:
    """Write RFC 3339 in UTC with milliseconds, so that text sorts by time."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_seconds(time: datetime) -> str:
    """Write RFC 3339 in UTC without a fraction of a second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def is_within_days(text: str | None, now: str, days: float) -> bool:
    """Return whether the time is after `now`, by at most so many days. Not for None."""
    time, present_time = parse_time(text), parse_time(now)
    return time is not None and present_time is not None and present_time < time <= present_time + timedelta(days=days)


def is_past(text: str | None, now: datetime) -> bool:
    """Return whether the time is `now` or earlier. False for None."""
    time = parse_time(text)
    return time is not None and time <= now


def compute_latest_time(now: str) -> str:
    """Return the latest time that may be on record now, in RFC 3339 as `now`."""
    return format_time(shift_time(to_datetime(now), CLOCK_DIFFERENCE))


def shift_time(time: datetime, delta: timedelta) -> datetime:
    """Add a delta. A sum that is out of range becomes the first or last possible time."""
    try:
        return time + delta
    except OverflowError:
        return (datetime.max if delta > timedelta() else datetime.min).replace(tzinfo=UTC)


def list_last_days(now: datetime, count: int) -> list[str]:
    """The last `count` days until today (YYYY-MM-DD), oldest first."""
    return [(now.date() - timedelta(days=count - 1 - number)).isoformat() for number in range(count)]
