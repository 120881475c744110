"""Times as people say them."""

from datetime import UTC, datetime


def parse(text: str) -> datetime | None:
    """RFC 3339; None for "" and for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def at(text: str, now: datetime) -> str:
    """ "3 min ago (2026-11-25 00:20:11 UTC)", "in 6 days (…)"; "-" without a time."""
    moment = parse(text)
    if moment is None:
        return "-"
    return f"{relative(moment, now)} ({moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"


def short(text: str, now: datetime) -> str:
    """ "3 min ago", or "-"."""
    moment = parse(text)
    return "-" if moment is None else relative(moment, now)


def relative(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{_rough(seconds)} ago" if seconds > 0 else f"in {_rough(-seconds)}"


def took(start: str, end: str, now: datetime) -> str:
    """How long it took, or has taken so far; "" when it did not begin."""
    begun = parse(start)
    if begun is None:
        return ""
    seconds = ((parse(end) or now) - begun).total_seconds()
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _rough(seconds: float) -> str:
    for size, name in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} days" if name == "day" and count > 1 else f"{count} {name}"
    return f"{int(seconds)} s"
