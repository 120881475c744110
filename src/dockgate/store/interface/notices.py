"""Notices, until every notifier has taken them.

What all of them promise is told in the package.
"""

from collections.abc import Sequence
from typing import Protocol

from dockgate.events.notifications import NoticeDelivery


class Notices(Protocol):
    def put(self, notice_deliveries: Sequence[NoticeDelivery]) -> None:
        """One for each key and notifier: what stands there already stays as it is."""
        ...

    def due(self, notifier: str, now: str, limit: int) -> Sequence[NoticeDelivery]:
        """What this notifier is to be told by now, the longest due first."""
        ...

    def told(self, key: str, notifier: str, now: str) -> None:
        """Nothing is due any more. The first time stands."""
        ...

    def failed(self, key: str, notifier: str, attempts: int, error: str, next_at: str) -> None:
        """Failed for the `attempts`th time; due again at `next_at`, never again when that is "". Does nothing when it
        was told, or has failed as often already."""
        ...

    def purge(self, before: str) -> int:
        """Forgets those written before that time, told or not. Returns how many."""
        ...
