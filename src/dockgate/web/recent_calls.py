"""Limits on how often a principal or an address may do what the server keeps a record of."""

import logging
import time
from collections import deque

from dockgate.shared.errors import BusyError

MAX_FAILURES = 20
FAILURE_SECONDS = 60.0
# Changing calls of one principal within FAILURE_SECONDS that are answered with 4xx: each has an entry in the audit log,
# which is never deleted.
MAX_REFUSALS = 60
# Sign-ins of one principal within FAILURE_SECONDS. They need the permission read alone, and have an entry as well.
MAX_RECORDED = 60
# Addresses or principals whose failures are counted at the same time.
MAX_KEYS = 10_000

_log = logging.getLogger(__name__)


class RecentCalls:
    """The number of calls in the last FAILURE_SECONDS by a key, such as an address, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._call_times: dict[str, deque[float]] = {}

    def is_full(self, key: str) -> bool:
        """Return whether the limit is reached."""
        times = self._call_times.get(key, ())
        return len(times) >= self._limit and times[-self._limit] > time.monotonic() - FAILURE_SECONDS

    def count_call(self, key: str) -> bool:
        """Count a call, and return whether there are more than the limit now."""
        now = time.monotonic()
        while len(self._call_times) >= MAX_KEYS and key not in self._call_times:
            del self._call_times[next(iter(self._call_times))]  # the oldest
        times = self._call_times.setdefault(key, deque(maxlen=self._limit + 1))
        times.append(now)
        return len(times) > self._limit and times[0] > now - FAILURE_SECONDS


class FailedAuthentications:
    """Invalid tokens by address. More than MAX_FAILURES in FAILURE_SECONDS are answered with 429.

    Valid tokens always pass, so guesses from a shared address do not lock out its other users. The limit keeps broken
    clients from filling the log; 256 random bits cannot be guessed.
    """

    def __init__(self) -> None:
        self._recent = RecentCalls(MAX_FAILURES)

    def count_failure(self, address: str) -> None:
        """Count a failure. Raises BusyError when there are too many."""
        if self._recent.count_call(address):
            raise BusyError(
                f"too many invalid tokens from {address}: more than {MAX_FAILURES} in {FAILURE_SECONDS:g} seconds",
                f"Set DOCKGATE_TOKEN to a valid token, and retry in {FAILURE_SECONDS:g} seconds.",
            )
        _log.warning("invalid token from %s", address)
