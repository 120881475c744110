"""The schedule of retries after failures: pauses that double."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from dockgate.shared.timestamps import to_datetime


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Pauses of `first_pause` seconds, doubled after each failure, at most `longest_pause` seconds.

    `attempts` is the maximum number of attempts; the last may start `give_up_after` seconds after the first. None: no
    limit. `minimum_attempts` attempts are made even after that time: the server may have stood still, or its clock may
    have jumped.
    """

    first_pause: float
    longest_pause: float
    attempts: int | None = None
    give_up_after: float | None = None
    minimum_attempts: int = 1

    def compute_pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row, at least one."""
        return min(self.first_pause * 2.0 ** min(failures - 1, 64), self.longest_pause)

    def compute_pauses(self) -> tuple[float, ...]:
        """Return the seconds between all attempts. For schedules with a number of attempts."""
        return tuple(self.compute_pause(failures) for failures in range(1, self.attempts or 1))

    def compute_next_attempt(self, key: str, failures: int, now: datetime, since: str | None = None) -> datetime | None:
        """Return when to try again; None: never.

        `failures` includes the present one, `since` is the first attempt (RFC 3339). The key adds up to a quarter to
        the pause, so that items that failed together are not retried together.
        """
        if self.attempts is not None and failures >= self.attempts:
            return None
        jitter = int(hashlib.sha256(f"{key}/{failures}".encode()).hexdigest()[:4], 16) / 0x10000
        next_attempt = now + timedelta(seconds=self.compute_pause(failures) * (1 + jitter / 4))
        if self.give_up_after is not None and since is not None and failures >= self.minimum_attempts:
            end = to_datetime(since) + timedelta(seconds=self.give_up_after)
            return next_attempt if next_attempt < end else None
        return next_attempt


# What the outbox sends: the receiver may be down for hours. The eleventh attempt is half an hour after the first, the
# twelfth an hour.
OUTBOX_RETRIES = RetrySchedule(first_pause=2, longest_pause=3600, give_up_after=86400, minimum_attempts=11)
# Between the entries of a receiver that failed several times in a row (the circuit breaker).
RECEIVER_PAUSES = RetrySchedule(first_pause=30, longest_pause=600)
