"""Times as text, compared as times."""

from datetime import UTC, datetime, timedelta


def moment(text: str) -> datetime | None:
    """RFC 3339, or a date alone (its first instant, in UTC); None for "" and for what is no time."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def written(time: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def within(text: str, now: str, days: float) -> bool:
    """Whether the time lies after `now` and at most so many days ahead."""
    there, here = moment(text), moment(now)
    return there is not None and here is not None and here < there <= here + timedelta(days=days)
