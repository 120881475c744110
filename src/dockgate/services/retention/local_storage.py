"""Follow collections on each host: what builds and services left there is removed after each."""

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from dockgate.delivery.ports import LocalStorage
from dockgate.delivery.retention import LEAST_HOURS, Retention
from dockgate.services.clock import ServerClock
from dockgate.store import Store

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class LocalCollections:
    """The removal of unused storage of this host. `storage` is None on a host without storage."""

    store: Store
    storage: LocalStorage | None
    clock: ServerClock
    retention: Retention
    # The last collection that this process has followed, None before the first look.
    _last_collection: int | None = field(default=None, init=False)

    def run(self) -> None:
        """Remove what is not needed, once after each collection that finishes from now on. Called repeatedly."""
        if self.storage is None:
            return
        last_finished = next((entry.seq for entry in self.store.collections.list(limit=2) if entry.finished_at), 0)
        if self._last_collection is not None and last_finished > self._last_collection:
            keep = max(timedelta(days=self.retention.keep_days), timedelta(hours=LEAST_HOURS))
            size = self.storage.remove_unused(
                lambda: self.store.image_retention.list_needs(self.retention.keep_revisions).keys(), self.clock() - keep
            )
            _log.info("removed %s MiB of unused images and builds from this host", size >> 20)
        self._last_collection = last_finished
