"""The time, in the forms that services store and compare."""

from datetime import datetime, timedelta

from dockgate.delivery.ports import Clock
from dockgate.shared.timestamps import format_time


class ServerClock:
    """Gives the time as RFC 3339 text in UTC with milliseconds, so that text order is time order.

    Called, it gives the time itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self) -> datetime:
        return self._clock()

    def now(self) -> str:
        return format_time(self._clock())

    def ago(self, days: float) -> str:
        """The time so many days before now."""
        return format_time(self._clock() - timedelta(days=days))

    def later(self, seconds: float) -> str:
        """The time so many seconds after now."""
        return format_time(self._clock() + timedelta(seconds=seconds))
