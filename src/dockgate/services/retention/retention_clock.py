"""The clock of retention: by it, everything that is deleted for its age is old enough.

A clock may be wrong for a while, and what was deleted meanwhile would be lost. So a jump counts only after a day in
which the clock was consistent. Until then, time goes on from before the jump, by the time that the process has been up.
A server that was stopped cannot tell for how long: from `LONGEST_STOP` on, that counts as a jump ahead.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from dockgate.delivery.ports import Clock
from dockgate.services.clock import ServerClock
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import CLOCK_DIFFERENCE, format_time, to_datetime
from dockgate.store import Store
from dockgate.store.retention.retention_time import RetentionTime

# A clock is believed that has been consistent for so long after a jump.
ACCEPTED_AFTER = timedelta(days=1)
# By so much a clock may be ahead when a process starts. Everything is kept for at least twice as long.
LONGEST_STOP = timedelta(hours=12)
# After a jump, a process looks this often whether the clock is believed.
RECORD_SECONDS = 30.0

_log = logging.getLogger(__name__)


class RetentionClock(ServerClock):
    """The time by which ages are counted: that of `clock`, or an earlier one after a jump.

    `uptime` gives seconds that no adjustment of the clock changes. Any thread may call.
    """

    def __init__(self, store: Store, clock: Clock, uptime: Callable[[], float]) -> None:
        super().__init__(clock)
        self._store = store
        self._uptime = uptime
        self._lock = threading.Lock()
        # The last record by this process: its uptime, the clock's time, and the trusted time.
        self._last: tuple[float, datetime, datetime] | None = None

    @override
    def __call__(self) -> datetime:
        return min(self._read())

    def is_behind(self) -> bool:
        """Return whether the clock has jumped back within a day: times on record seem to be in the future."""
        trusted_time, now = self._read()
        return now < trusted_time - CLOCK_DIFFERENCE

    def record(self) -> None:
        """Record the time. Call it every minute: a process that starts compares its clock with the record."""
        with self._lock:
            self._record(self._uptime(), self._clock())

    def _read(self) -> tuple[datetime, datetime]:
        """Return the trusted time, and the time of the clock. Nothing is written while the clock is consistent."""
        with self._lock:
            uptime, now = self._uptime(), self._clock()
            if self._last is not None:
                elapsed_time = self._compute_elapsed_time(uptime)
                is_consistent = abs(now - (self._last[1] + elapsed_time)) < CLOCK_DIFFERENCE
                is_young = elapsed_time.total_seconds() < RECORD_SECONDS
                if is_consistent and (is_young or self._last[1] == self._last[2]):
                    return self._last[2] + elapsed_time, now
            return self._record(uptime, now), now

    def _record(self, uptime: float, now: datetime) -> datetime:
        """Record the time, and return it."""
        time = self._store.retention_times.change(lambda last_record: self._compute(last_record, uptime, now))
        trusted_time = now if time.trusted_time == time.clock_time else to_datetime(time.trusted_time)
        self._last = uptime, now, trusted_time
        return trusted_time

    def _compute_elapsed_time(self, uptime: float) -> timedelta:
        """Return how long ago this process has recorded the time."""
        return timedelta(seconds=max(uptime - self._last[0], 0)) if self._last is not None else timedelta()

    def _compute(self, last_record: RetentionTime | None, uptime: float, now: datetime) -> RetentionTime:
        """Compute the time from the recorded one, which may be of another process."""
        accepted_time = RetentionTime(format_time(now), format_time(now))
        if last_record is None:
            return accepted_time
        trusted_time, expected_time = to_datetime(last_record.trusted_time), to_datetime(last_record.clock_time)
        if last_record.accepted_at is None and abs(now - expected_time) <= CLOCK_DIFFERENCE:
            return accepted_time  # a process has believed this clock a moment ago
        longest_gap = LONGEST_STOP
        if self._last is not None:
            elapsed_time, longest_gap = self._compute_elapsed_time(uptime), CLOCK_DIFFERENCE
            expected_time = self._last[1] + elapsed_time
            trusted_time = max(trusted_time, self._last[2] + elapsed_time)
        if -CLOCK_DIFFERENCE <= now - trusted_time <= longest_gap:
            return accepted_time
        has_jumped = not -CLOCK_DIFFERENCE <= now - expected_time <= longest_gap
        accepted_at = to_datetime(last_record.accepted_at) if last_record.accepted_at else None
        if accepted_at is None or has_jumped or accepted_at > now + ACCEPTED_AFTER:
            accepted_at = now + ACCEPTED_AFTER
            _log.warning(
                "The clock has jumped from %s to %s, or the server was stopped. Rows and images are deleted by the "
                "earlier time until %s.",
                format_time(expected_time),
                format_time(now),
                format_time(accepted_at),
            )
        elif now >= accepted_at:
            return accepted_time
        return RetentionTime(format_time(trusted_time), format_time(now), format_time(accepted_at))
