"""When messages to people may go out: quiet hours, and the time of a daily summary."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dockgate.shared.errors import DefinitionError


def parse_zone(name: str) -> tzinfo:
    """The time zone of a name such as "Europe/Berlin".

    Raises DefinitionError for one that this machine lacks.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DefinitionError(
            f"there is no time zone {name!r} here", "Write a name such as Europe/Berlin; it needs the package tzdata."
        ) from None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The hours in which messages wait: daily from `start` to `end` ("22:00"), in a time zone."""

    start: str
    end: str
    timezone: str = "UTC"

    def find_end(self, now: datetime) -> datetime | None:
        """Return when the quiet hours of this moment end; None when there are none now."""
        zone = parse_zone(self.timezone)
        local_time = now.astimezone(zone)
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        for day in (local_time.date() - timedelta(days=1), local_time.date()):
            begin = datetime.combine(day, start, zone)
            finish = datetime.combine(day if start < end else day + timedelta(days=1), end, zone)
            if begin <= local_time < finish:
                return finish.astimezone(now.tzinfo)
        return None


@dataclass(frozen=True, slots=True)
class DailySummary:
    """A summary is sent every day `at` a time ("08:00") in a time zone, also when all is well."""

    at: str
    timezone: str = "UTC"

    def compute_due_time(self, now: datetime) -> datetime:
        """The latest moment, not after `now`, at which a summary was due."""
        zone = parse_zone(self.timezone)
        local_time = now.astimezone(zone)
        moment = datetime.combine(local_time.date(), time.fromisoformat(self.at), zone)
        if moment > local_time:
            moment = datetime.combine(local_time.date() - timedelta(days=1), time.fromisoformat(self.at), zone)
        return moment.astimezone(now.tzinfo)
