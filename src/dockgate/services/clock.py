"""The time, in the forms that services store and compare."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from dockgate.delivery.ports import Clock
from dockgate.shared.timestamps import CLOCK_DIFFERENCE, format_time

# What contradicts the last message is sent once the state has not changed for so long.
SETTLED_AFTER = timedelta(hours=3)


class SettlingTimes(NamedTuple):
    """The times that decide whether a state has settled.

    It has if it is unchanged since `unchanged_since`. A change after `latest_plausible` was recorded by a clock that
    was ahead.
    """

    unchanged_since: str
    latest_plausible: str
    now: str


class ServerClock:
    """The time as RFC 3339 text in UTC with milliseconds, so that text order is time order.

    Called, it gives the time itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self) -> datetime:
        """The time, in UTC."""
        return self._clock()

    def now(self) -> str:
        """The time as RFC 3339 text."""
        return format_time(self())

    def compute_time_before(self, days: float) -> str:
        """The time so many days before now."""
        return format_time(self() - timedelta(days=days))

    def compute_time_after(self, seconds: float) -> str:
        """The time so many seconds after now."""
        return format_time(self() + timedelta(seconds=seconds))

    def compute_settling_times(self) -> SettlingTimes:
        """Compute the times that decide whether a state has settled."""
        now = self()
        return SettlingTimes(format_time(now - SETTLED_AFTER), format_time(now + CLOCK_DIFFERENCE), format_time(now))


# Seconds that a host's clock may differ before it is corrected: asking the database takes time, too.
_TOLERANCE = 1.0


class DatabaseClock:
    """The clock of this host, corrected to that of the database.

    Servers and workers compare each other's times, so all of them need one clock.
    """

    def __init__(self, clock: Clock, database_time: Callable[[], datetime]) -> None:
        self._clock = clock
        self._database_time = database_time
        self._offset = timedelta()
        self.correct()

    def __call__(self) -> datetime:
        """The time of the database, in UTC, as far as the last measurement tells."""
        return self._clock() + self._offset

    def correct(self) -> None:
        """Ask the database for the time. Call it now and then: clocks are set, and drift."""
        before = self._clock()
        database_time = self._database_time()
        offset = database_time - (before + (self._clock() - before) / 2)
        if abs((offset - self._offset).total_seconds()) > _TOLERANCE:
            self._offset = offset
