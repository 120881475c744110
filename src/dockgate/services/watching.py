"""Which images are watched, and the uses of images that it depends on."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dockgate.gate.policy_choice import DEFAULT_POLICY, Watch, WatchStart
from dockgate.gate.watch import ImageUse, WatchState, watch_state
from dockgate.services.cases import running_image
from dockgate.services.clock import ServerClock
from dockgate.services.policies import PolicySelection
from dockgate.shared.errors import DockgateError
from dockgate.store import Store

# How often the last pull or run of an image is written, in seconds.
RECORD_SECONDS = 3600.0
# How many recorded uses are remembered.
_CACHE_SIZE = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedRepository:
    """Whether an image is watched in a repository, by which policy, and who hears of it."""

    repository: str
    policy: str
    watch: Watch
    is_watched: bool
    until: str | None
    owners: tuple[str, ...]


def is_watched_in(repositories: Sequence[WatchedRepository]) -> bool:
    """Whether an image is watched that is in these repositories. One without a repository is."""
    return not repositories or any(entry.is_watched for entry in repositories)


@dataclass(slots=True)
class Watching:
    """Answers which images are watched, and records their uses. Any thread may call.

    `registry` is the address of our own registry, `monotonic` the clock of the cache, in seconds.
    """

    store: Store
    selection: PolicySelection
    clock: ServerClock
    registry: str
    monotonic: Callable[[], float] = time.monotonic
    _recorded: OrderedDict[tuple[str, str, str], float] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def repositories(self, image: str) -> Sequence[WatchedRepository]:
        """Return the repositories of an image, sorted, each with its watch."""
        uses = self.store.image_uses.of_image(image, self.clock.now())
        return [self._watched(image, use) for use in uses]

    def is_watched(self, image: str) -> bool:
        """Return whether the image is watched in any of its repositories. An image without a repository is."""
        return is_watched_in(self.repositories(image))

    def state(self, repository: str, image: str) -> WatchState:
        """Return whether an image is watched in a repository.

        ConflictError if two policy assignments match the repository equally well.
        """
        watch = self.selection.watch_of(repository)
        if watch.start is WatchStart.FOREVER:
            return WatchState(True)
        uses = self.store.image_uses.of_image(image, now := self.clock.now())
        use = next((use for use in uses if use.repository == repository), ImageUse(repository))
        return watch_state(watch, use, now, is_running=self._is_running(image))

    def record_pull(self, repository: str, image: str) -> None:
        """Record that another machine pulled the image, at most once an hour. A failure is logged."""
        if self._is_due("pull", repository, image):
            try:
                self.store.image_uses.record_pull(repository, image, self.clock.now())
            except DockgateError as error:
                _log.warning("The pull of %s@%s was not recorded: %s", repository, image, error)

    def is_pull_recorded(self, repository: str, image: str) -> bool:
        """Return whether a pull of this image was recorded within the last hour, without touching the database."""
        with self._lock:
            return self._recorded.get(("pull", repository, image), -RECORD_SECONDS) > self.monotonic() - RECORD_SECONDS

    def record_runs(self) -> None:
        """Record what every service runs, at most once an hour."""
        for service in self.store.services.list():
            running = running_image(self.store, service, self.registry)
            if running and service.desired_count and self._is_due("run", running[1].repository, running[0]):
                self.store.image_uses.record_run(running[1].repository, running[0], self.clock.now())

    def _watched(self, image: str, use: ImageUse) -> WatchedRepository:
        assignment = self.selection.assignment_of(use.repository)
        watch = assignment.watch if assignment else Watch()
        is_running = watch.start is not WatchStart.FOREVER and self._is_running(image)
        state = watch_state(watch, use, self.clock.now(), is_running=is_running)
        policy = assignment.policy if assignment else DEFAULT_POLICY
        owners = assignment.owners if assignment else ()
        return WatchedRepository(use.repository, policy, watch, state.is_watched, state.until, owners)

    def _is_running(self, image: str) -> bool:
        running = (running_image(self.store, service, self.registry) for service in self.store.services.list())
        return any(entry is not None and entry[0] == image for entry in running)

    def _is_due(self, kind: str, repository: str, image: str) -> bool:
        key, now = (kind, repository, image), self.monotonic()
        with self._lock:
            if self._recorded.get(key, now - RECORD_SECONDS - 1) > now - RECORD_SECONDS:
                return False
            self._recorded[key] = now
            self._recorded.move_to_end(key)
            while len(self._recorded) > _CACHE_SIZE:
                self._recorded.popitem(last=False)
            return True
