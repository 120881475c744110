"""Verdicts that were shown a moment ago. A verdict never changes: its digest names its bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from dockgate.gate.model import Verdict
from dockgate.services.local_gate import Replay

T = TypeVar("T")


class Recent(Generic[T]):
    """The last `limit` values by digest. Any thread may call."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, digest: str) -> T | None:
        """The stored value, None if there is none."""
        with self._lock:
            if digest not in self._values:
                return None
            self._values.move_to_end(digest)
            return self._values[digest]

    def get_or_make(self, digest: str, make_value: Callable[[], T]) -> T:
        """The stored value; if there is none, the result of `make_value`, which is stored."""
        value = self.get(digest)
        if value is None:
            value = make_value()
            self.add(digest, value)
        return value

    def add(self, digest: str, value: T) -> None:
        """Remember a value."""
        with self._lock:
            self._values[digest] = value
            while len(self._values) > self._limit:
                self._values.popitem(last=False)


class RecentVerdicts:
    """A few whole verdicts, and the results of many replays.

    A verdict with 5,000 findings takes a second to read.
    """

    def __init__(self) -> None:
        self.verdicts = Recent[Verdict](8)
        self.replays = Recent[Replay](1000)
