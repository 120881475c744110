"""A value that is fetched when it is needed, kept for a while, and fetched by one thread at a time."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from dockgate.shared.errors import DockgateError

T = TypeVar("T")

# How long a failure is repeated without another attempt.
FAILURE_SECONDS = 10


class CachedValue(Generic[T]):
    """A fetched value that is at most `seconds` old, and fetched early at most once in `renew_seconds`."""

    def __init__(
        self, fetch: Callable[[], T], clock: Callable[[], datetime], seconds: float, renew_seconds: float
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._age = timedelta(seconds=seconds)
        self._renew_age = timedelta(seconds=renew_seconds)
        self._lock = threading.Lock()
        self._value: tuple[T, datetime] | None = None
        self._failure: tuple[DockgateError, datetime] | None = None

    def get(self) -> T:
        """Return the value. Raises what fetching it raises, also for a few seconds after it failed."""
        return self._get(self._age)

    def renew(self) -> T:
        """Return the value, fetched again unless that happened a moment ago."""
        return self._get(self._renew_age)

    def _get(self, age: timedelta) -> T:
        with self._lock:
            now = self._clock()
            if self._value is not None and self._value[1] <= now < self._value[1] + age:
                return self._value[0]
            if self._failure is not None and now < self._failure[1] + timedelta(seconds=FAILURE_SECONDS):
                raise self._failure[0]
            try:
                value = self._fetch()
            except DockgateError as error:
                self._failure = error, now
                raise
            self._value, self._failure = (value, now), None
            return value
