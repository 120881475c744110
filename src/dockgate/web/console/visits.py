"""The time of a browser's last visit to the overview, kept in a cookie of that browser. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dockgate.shared.timestamps import format_time, parse_time

VISIT_COOKIE = "dockgate-visit"
# A visit ends when the browser has not come for this long.
PAUSE = timedelta(minutes=30)
# What a person sees who never was here, and at most.
FIRST_PERIOD, LONGEST_PERIOD = timedelta(days=1), timedelta(days=30)
_SEPARATOR = "~"


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit of the console.

    `since` is the end of the visit before this one, or some time ago if `is_first`. `cookie` is the new cookie.
    """

    since: datetime
    is_first: bool
    cookie: str


def read_visit(now: datetime, cookie: str | None) -> Visit:
    """The present visit, in a browser with this cookie (None without one).

    What it cannot mean is ignored.
    """
    texts = cookie.split(_SEPARATOR) if cookie is not None else []
    visit_before, latest_visit = (_parse_past_time(text, now) for text in [*texts, "", ""][:2])
    if latest_visit is not None and now - latest_visit >= PAUSE:
        visit_before = latest_visit
    text = format_time(visit_before) if visit_before else ""
    since = max(visit_before, now - LONGEST_PERIOD) if visit_before else now - FIRST_PERIOD
    return Visit(since, visit_before is None, f"{text}{_SEPARATOR}{format_time(now)}")


def _parse_past_time(text: str, now: datetime) -> datetime | None:
    time = parse_time(text)
    return time if time is not None and time <= now else None
