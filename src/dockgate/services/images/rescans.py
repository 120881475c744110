"""Rescan in the background the images that an older version of the scanner has read.

Those that services run come first. The database says which version read each image, so rescanning goes on after a
restart, and in another process. Until an image is rescanned, its verdict rests on what the older version found, and
says which that was. What a newer version has read stays: while servers are upgraded one after another, the older ones
leave it alone.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from dockgate.delivery.ports import ImageReader
from dockgate.scanner.layer_reader import is_older_scanner
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.shared.errors import DockgateError, TooSlowError, UnavailableError
from dockgate.shared.references import RepositoryReference
from dockgate.shared.retry import RetrySchedule
from dockgate.store import Store
from dockgate.store.records import Scan, WorkerState

# Images that one call reads at most, so that a pause of the server is not made up for all at once.
BURST = 5
# Seconds until the versions are looked up again, where every image was read by this one or a newer one.
IDLE_SECONDS = 60.0
# When a registry that does not answer is asked again.
REGISTRY_RETRIES = RetrySchedule(first_pause=60, longest_pause=3600)
# Seconds until an image is tried again that could not be read.
RETRY_SECONDS = 86_400.0
# Images that could not be read, and that this process remembers.
MEMORY = 10_000
# Images that are looked at beyond those that are due: of registries that do not answer.
MARGIN = 200

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ImageRescans:
    """Rescans of images, at most `per_minute`; 0 disables them. `version` is our scanner's.

    One worker of all servers does, which knows how fast it goes and which registries do not answer: this process if it
    is the `worker` of this id. Another one goes on where it ends, or has a newer scanner.

    `index` takes an image into the fleet index, whose next renewal judges it. `monotonic` counts seconds.
    """

    store: Store
    read_image: ImageReader
    index: Callable[[str], None]
    version: str
    worker: str
    per_minute: float
    clock: ServerClock
    effects: Effects
    monotonic: Callable[[], float] = time.monotonic
    _credit: float = field(default=1.0, init=False)
    _counted_at: float | None = field(default=None, init=False)
    _idle_until: float = field(default=0.0, init=False)
    # By image: when it is tried again. By registry: when it is asked again, and how often it has failed.
    _retry_at: OrderedDict[str, float] = field(default_factory=OrderedDict, init=False)
    _pauses: dict[str | None, tuple[float, int]] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Read the next images, as many as are due since the last call."""
        now = self.monotonic()
        if not self.per_minute or now < self._idle_until:
            return
        elapsed_seconds = 0.0 if self._counted_at is None else now - self._counted_at
        self._counted_at = now
        self._credit = min(self._credit + elapsed_seconds * self.per_minute / 60, BURST)
        older = {name for name in self.store.rescans.list_versions() if is_older_scanner(name, self.version)}
        if not older:
            self._idle_until = now + IDLE_SECONDS
            return
        count = int(self._credit)
        if not count:
            return
        if not self.store.rescans.take_turn(self.worker, self.version, self._is_replaced):
            self._idle_until = now + IDLE_SECONDS
            return
        running = {entry.digest for entry in self.store.services.list_running_images()}
        candidates = self.store.rescans.select(older, running, count + len(self._retry_at) + MARGIN)
        due = [scan for scan in candidates if self._is_due(scan, now)][:count]
        for scan in due:
            if self._is_due(scan, now):  # its registry may have failed a moment ago
                self._credit -= 1
                self._read_scan(scan)

    def _is_replaced(self, worker: str, version: str) -> bool:
        """Return whether this process may read instead of another worker."""
        has_ended = all(entry.id != worker or entry.state is WorkerState.LOST for entry in self.store.workers.list())
        return has_ended or is_older_scanner(version, self.version)

    def _read_scan(self, scan: Scan) -> None:
        registry = _find_registry(scan)
        try:
            self.effects.run(EffectKind.READ_IMAGE, self._read_again, scan)
            self._pauses.pop(registry, None)
        except (UnavailableError, TooSlowError) as error:
            is_slow = isinstance(error, TooSlowError)  # it took its whole time, in which nothing else was read
            failures = self._pauses.get(registry, (0.0, 0))[1] + 1
            pause = REGISTRY_RETRIES.longest_pause if is_slow else REGISTRY_RETRIES.compute_pause(failures)
            if is_slow:
                self._put_off(scan)
            self._pauses[registry] = self.monotonic() + pause, failures
            _log.warning("images of %s are read again later: %s", registry or "our registry", error.full_message)
        except DockgateError as error:
            self._put_off(scan)
            _log.warning("%s@%s cannot be read again: %s", scan.repository, scan.image, error.full_message)

    def _put_off(self, scan: Scan) -> None:
        """Try this image again a day later."""
        self._retry_at[scan.image] = self.monotonic() + RETRY_SECONDS
        self._retry_at.move_to_end(scan.image)
        while len(self._retry_at) > MEMORY:
            self._retry_at.popitem(last=False)

    def _read_again(self, scan: Scan) -> None:
        platforms = self.read_image(scan.repository, scan.image)
        self.effects.fence()
        if self.store.rescans.record(scan, platforms, self.version, self.clock.now()):
            self.index(scan.image)

    def _is_due(self, scan: Scan, now: float) -> bool:
        paused_until, _ = self._pauses.get(_find_registry(scan), (0.0, 0.0))
        return max(self._retry_at.get(scan.image, 0.0), paused_until) <= now


def _find_registry(scan: Scan) -> str | None:
    """Return the registry of an image, None for our own."""
    return RepositoryReference.parse(scan.repository).registry
