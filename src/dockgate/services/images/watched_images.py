"""The images that are watched, and their uses, on which that depends."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dockgate.delivery.service_model import Service
from dockgate.gate.policy_choice import DEFAULT_POLICY, PolicyAssignment, Watch, WatchStart
from dockgate.gate.watch import ImageUse, WatchState, compute_watch_state
from dockgate.services.clock import ServerClock
from dockgate.services.error_isolation import run_for_each
from dockgate.services.policies.selection import PolicySelection, SplitRepositories
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DockgateError
from dockgate.store import Store
from dockgate.store.exposure.records import RunningImage
from dockgate.store.records import ImageLocation

# How often the last pull or run of an image is written, in seconds.
RECORD_SECONDS = 3600.0
# How many recorded uses are remembered.
_CACHE_SIZE = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedRepository:
    """The watch of an image in a repository: if it is watched, by which policy, and for whom.

    `conflict` says why no policy judges it there: two assignments match the repository equally well. None if one does.
    """

    repository: str
    policy: str | None
    watch: Watch
    is_watched: bool
    until: str | None
    owners: tuple[str, ...]
    conflict: str | None = None


def is_watched_in(repositories: Sequence[WatchedRepository]) -> bool:
    """Return whether an image is watched that is in these repositories. One without a repository is."""
    return not repositories or any(entry.is_watched for entry in repositories)


@dataclass(slots=True)
class WatchedImages:
    """The images that are watched, and records of their uses. Any thread may call.

    Watches end by `retention_clock`, so that none ends because a clock was ahead for a while. `registry` is the address
    of our own registry.
    """

    store: Store
    selection: PolicySelection
    clock: ServerClock
    retention_clock: ServerClock
    registry: str
    _recorded_at: OrderedDict[tuple[str, str, str], float] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def with_assignments(self, assignments: Sequence[PolicyAssignment]) -> "WatchedImages":
        """The same, by policy assignments that were read just now."""
        return replace(self, selection=replace(self.selection, known_assignments=assignments))

    def list_repositories(
        self, image: str, running: Collection[RunningImage] | None = None
    ) -> Sequence[WatchedRepository]:
        """Return the repositories of an image, sorted, each with its watch.

        `running` is what services run, None to read it.
        """
        now = self.retention_clock.now()
        uses = self.store.image_uses.list_of_image(image, now)
        conflicts, assignments = self.selection.split_repositories({use.repository for use in uses})
        is_limited = any(entry and entry.watch.start is not WatchStart.FOREVER for entry in assignments.values())
        digests = None if running is None else {entry.digest for entry in running}
        is_running = is_limited and image in (self._list_running_images() if digests is None else digests)
        return [
            _make_conflicting_repository(use.repository, conflicts[use.repository])
            if use.repository in conflicts
            else _make_used_repository(use, assignments[use.repository], now, is_running=is_running)
            for use in uses
        ]

    def read_watches(
        self,
        locations: Collection[ImageLocation],
        running_digests: Collection[str] | None = None,
        split_names: SplitRepositories | None = None,
    ) -> Mapping[ImageLocation, WatchedRepository]:
        """Return the watch of each image in its repository, by repository and digest.

        `running_digests` are the images that services run, `split_names` the repositories; None to read them.
        """
        names = {repository for repository, _ in locations}
        conflicts, assignments = split_names or self.selection.split_repositories(names)
        clear_locations = [location for location in locations if location.repository not in conflicts]
        states = self._read_states(clear_locations, assignments, running_digests)
        return {
            location: _make_conflicting_repository(location.repository, conflicts[location.repository])
            if location.repository in conflicts
            else _make_watched_repository(location.repository, assignments[location.repository], states[location])
            for location in locations
        }

    def is_watched(self, image: str) -> bool:
        """Return whether the image is watched in any of its repositories. An image without a repository is."""
        return is_watched_in(self.list_repositories(image))

    def read_state(self, repository: str, image: str) -> WatchState:
        """Return whether an image is watched in a repository.

        ConflictError if two policy assignments match the repository equally well.
        """
        location = ImageLocation(repository, image)
        return self.read_states([location])[location]

    def read_states(self, locations: Collection[ImageLocation]) -> Mapping[ImageLocation, WatchState]:
        """Return whether each image is watched in its repository, by repository and digest.

        ConflictError as `read_state`. The number of statements does not depend on the number of locations.
        """
        return self._read_states(
            locations, self.selection.find_assignments({repository for repository, _ in locations})
        )

    def _read_states(
        self,
        locations: Collection[ImageLocation],
        assignments: Mapping[str, PolicyAssignment | None],
        running_digests: Collection[str] | None = None,
    ) -> Mapping[ImageLocation, WatchState]:
        watches = {repository: entry.watch for repository, entry in assignments.items() if entry is not None}
        limited_locations = [
            location
            for location in locations
            if location.repository in watches and watches[location.repository].start is not WatchStart.FOREVER
        ]
        states = dict.fromkeys(locations, WatchState(True))
        if limited_locations:
            now, running = self.retention_clock.now(), running_digests
            if running is None:
                running = self._list_running_images()
            uses = self.store.image_uses.list_of_images({location.image for location in limited_locations}, now)
            for location in limited_locations:
                repository, image = location
                use = next((use for use in uses[image] if use.repository == repository), ImageUse(repository))
                states[location] = compute_watch_state(watches[repository], use, now, is_running=image in running)
        return states

    def compute_revision(self) -> str:
        """Return a text that changes whenever a watch may have begun again, and every hour.

        Changed assignments do not change it.
        """
        hour = self.clock.now()[:13]
        if not self.selection.has_limited_watches():
            return hour
        running = sorted(self._list_running_images())
        return compute_digest(canonical.encode([hour, self.store.image_uses.read_revision(hour), running]))

    def record_pull(self, repository: str, image: str) -> None:
        """Record that another machine pulled the image, at most once an hour. A failure is logged."""
        if self._is_due("pull", repository, image):
            try:
                self.store.image_uses.record_pull(repository, image, self.clock.now())
            except DockgateError as error:
                _log.warning("the pull of %s@%s was not recorded: %s", repository, image, error)

    def is_pull_recorded(self, repository: str, image: str) -> bool:
        """Return whether a pull of this image was recorded within the last hour, without a query."""
        with self._lock:
            return (
                self._recorded_at.get(("pull", repository, image), -RECORD_SECONDS) > time.monotonic() - RECORD_SECONDS
            )

    def record_runs(self) -> None:
        """Record what every service runs, at most once an hour."""
        run_for_each(self.store.services.list(), self._record_run, lambda service: service.name)

    def _record_run(self, service: Service) -> None:
        running = self.store.services.find_running_image(service.name)
        if running is None:
            return
        repository = running.reference.strip_registry(self.registry)
        if self._is_due("run", repository, running.digest):
            self.store.image_uses.record_run(repository, running.digest, self.clock.now())

    def _list_running_images(self) -> set[str]:
        """Return the images that services run."""
        return {entry.digest for entry in self.store.services.list_running_images()}

    def _is_due(self, kind: str, repository: str, image: str) -> bool:
        key, now = (kind, repository, image), time.monotonic()
        with self._lock:
            if self._recorded_at.get(key, now - RECORD_SECONDS - 1) > now - RECORD_SECONDS:
                return False
            self._recorded_at[key] = now
            self._recorded_at.move_to_end(key)
            while len(self._recorded_at) > _CACHE_SIZE:
                self._recorded_at.popitem(last=False)
            return True


def _make_used_repository(
    use: ImageUse, assignment: PolicyAssignment | None, now: str, *, is_running: bool
) -> WatchedRepository:
    watch = assignment.watch if assignment else Watch()
    return _make_watched_repository(
        use.repository, assignment, compute_watch_state(watch, use, now, is_running=is_running)
    )


def _make_watched_repository(
    repository: str, assignment: PolicyAssignment | None, state: WatchState
) -> WatchedRepository:
    if assignment is None:
        return WatchedRepository(repository, DEFAULT_POLICY, Watch(), state.is_watched, state.until, ())
    policy, watch, owners = assignment.policy, assignment.watch, assignment.owners
    return WatchedRepository(repository, policy, watch, state.is_watched, state.until, owners)


def _make_conflicting_repository(repository: str, conflict: str) -> WatchedRepository:
    """The watch of an image that no policy judges: it does not end."""
    return WatchedRepository(repository, None, Watch(), True, None, (), conflict)
