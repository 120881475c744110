"""Format times (RFC 3339) for people. `now` is the present time, unless given."""

from datetime import UTC, datetime

from dockgate.shared.timestamps import parse_time

_DAY = 86400


def format_time(text: str | None, now: datetime | None = None) -> str:
    """ "3 min ago (2026-11-25 00:20:11 UTC)", "in 6 days (…)"; "-" without a time."""
    moment = parse_time(text)
    return f"{format_relative(moment, now)} ({moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)" if moment else "-"


def format_age(text: str | None, now: datetime | None = None) -> str:
    """ "3 min ago", or "-"."""
    moment = parse_time(text)
    return format_relative(moment, now) if moment else "-"


def format_elapsed(text: str) -> str:
    """Format the time that has passed since: "3 min", for a sentence like "waiting for 3 min"."""
    moment = parse_time(text)
    return _round_duration(max((datetime.now(UTC) - moment).total_seconds(), 0)) if moment else "-"


def describe_risk(deadline: str | None, now: datetime | None = None) -> str:
    """ "at risk until 2026-12-09 12:00 UTC", "at risk, deadline passed at 2026-12-09 12:00 UTC"."""
    moment = parse_time(deadline)
    if moment is None:
        return "at risk"
    relation = " until" if moment > (now or datetime.now(UTC)) else ", deadline passed at"
    return f"at risk{relation} {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_relative(moment: datetime, now: datetime | None = None) -> str:
    """The difference to `now`: "3 min ago", "in 2 h", "just now"."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    if seconds > 0:
        return f"{_round_duration(seconds)} ago"
    # To the nearest day: what was made a minute ago and expires in 7 days does not expire in 6.
    return f"in {_round_duration(-seconds + _DAY / 2 if seconds <= -_DAY else -seconds)}"


def format_duration(start: str | None, end: str | None, now: datetime | None = None) -> str:
    """The time from start to end, or so far, as a column shows it: nothing before the start."""
    started_at = parse_time(start)
    if started_at is None:
        return ""
    seconds = ((parse_time(end) or now or datetime.now(UTC)) - started_at).total_seconds()
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes, remainder = divmod(int(seconds), 60)
    return f"{minutes} min {remainder} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _round_duration(seconds: float) -> str:
    for size, name in ((_DAY, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} days" if name == "day" and count > 1 else f"{count} {name}"
    return f"{int(seconds)} s"
