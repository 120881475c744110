"""The life of a worker: its heartbeat, and the failure detector that finds workers without one.

A worker counts up its row at every heartbeat. The failure detector runs in the worker that holds its lock. It marks a
worker lost whose count has not changed for the time of a lease, by the detector's own monotonic clock, and sends its
work to others. So a wrong clock changes nothing, and no worker is lost because the database was away: the detector
counts only while it can read.

A worker runs no effect once its last heartbeat is older than the fence, so it stops before it can be marked lost. A
worker that was marked lost ends at once, as if it had crashed.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from dockgate.services.clock import ServerClock
from dockgate.shared.errors import DockgateError, StoreError
from dockgate.store.locks import Locks
from dockgate.store.records import Worker, WorkerState
from dockgate.store.workers import WorkerTable

# One process at a time looks for lost workers. Servers of other versions take the lock by the same name.
FAILURE_DETECTION_LOCK = "guard"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The time between the heartbeats of a worker, and the longest time without one.

    In seconds, the same at all workers of a database.
    """

    heartbeat: float = 3
    lease: float = 15

    @property
    def fence(self) -> float:
        """Return how long after its last heartbeat a worker runs effects."""
        return self.lease - self.heartbeat


DEFAULT_TIMES = LeaseTimes()
# On SQLite, where no failure detector runs: how soon a worker learns that it was drained.
IDLE_TIMES = LeaseTimes(heartbeat=30, lease=150)


def end_process() -> None:
    """End this process without another effect; its children end with it.

    Its work goes on at other workers.
    """
    os._exit(75)  # sysexits.h: EX_TEMPFAIL, so that a service manager starts it again


class Lease:
    """The lease by which a worker lives, and a fence around its effects."""

    def __init__(
        self,
        workers: WorkerTable,
        worker: Worker,
        clock: ServerClock,
        on_drain: Callable[[], None],
        on_lost: Callable[[], None] = end_process,
        check: Callable[[], None] = lambda: None,
        times: LeaseTimes = DEFAULT_TIMES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_drain` is called once when an operator drains the worker, `on_lost` when it was marked lost.

        `check` is called before each heartbeat, which is left out while it raises UnavailableError.
        """
        self.worker = worker
        self._workers = workers
        self._clock = clock
        self._on_drain = on_drain
        self._on_lost = on_lost
        self._check = check
        self._times = times
        self._monotonic = monotonic
        self._heartbeat_at = monotonic()
        self._is_draining = False
        self._is_ending = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, name="lease", daemon=True)

    def start(self) -> None:
        """Add the worker, and send heartbeats from now on."""
        self._workers.add(self.worker)
        self._heartbeat_at = self._monotonic()
        self._thread.start()

    def close(self) -> None:
        """Send no more heartbeats, and remove the worker: it has no work left that others should do."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._times.heartbeat + 1)
        try:
            self._workers.remove(self.worker.id)
        except DockgateError as error:
            _log.warning("the worker %s could not be removed: %s", self.worker.id, error)

    @property
    def is_fresh(self) -> bool:
        """Return whether this worker cannot have been marked lost yet."""
        return not self._is_ending and self._monotonic() - self._heartbeat_at < self._times.fence

    def require(self) -> None:
        """Raise StoreError unless the lease is fresh. For requests, whose sender can try again."""
        if not self.is_fresh:
            raise StoreError(
                "this server cannot reach its database or its shared folder", "Retry when both are available again."
            )

    def wait(self) -> None:
        """Wait until the lease is fresh. For workflows, which must not fail because of the network."""
        while not self.is_fresh:
            time.sleep(self._times.heartbeat / 10)

    def send_heartbeat(self) -> None:
        """Count one heartbeat, and act on the state of the row."""
        sent_at = self._monotonic()
        self._check()
        state = self._workers.record_heartbeat(self.worker.id, self._clock.now())
        if state is WorkerState.ENDING:
            self._is_ending = True  # before others may take over the work: no effect runs from here on
            self._workers.mark_lost(self.worker.id)
            state = WorkerState.LOST
        if state is WorkerState.LOST:
            _log.error(
                "stopping the worker %s: it was removed or its lease expired; other workers take over its work",
                self.worker.id,
            )
            self._on_lost()
            return
        self._heartbeat_at = sent_at
        if state is WorkerState.DRAINING and not self._is_draining:
            self._is_draining = True
            self._on_drain()

    def _send_heartbeats(self) -> None:
        while not self._closing.wait(self._times.heartbeat):
            try:
                self.send_heartbeat()
            except DockgateError as error:
                _log.warning("the worker %s takes no work: %s", self.worker.id, error)


class FailureDetector:
    """A detector that marks workers without heartbeats as lost.

    Every worker runs one; those that do not hold the lock only watch.
    """

    def __init__(
        self,
        workers: WorkerTable,
        locks: Locks,
        recover: Callable[[Worker], None],
        requeue_other_versions: Callable[[Collection[str]], None] = lambda _: None,
        times: LeaseTimes = DEFAULT_TIMES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`recover` sends a lost worker's work to others, `requeue_other_versions` that of versions other than these.

        Both may be called again.
        """
        self._workers = workers
        self._locks = locks
        self._recover = recover
        self._requeue_other_versions = requeue_other_versions
        self._versions: set[str] = set()
        self._lease_seconds = times.lease
        self._monotonic = monotonic
        # The last count of each worker, and when this detector saw it first.
        self._seen_counts: dict[str, tuple[int, float]] = {}

    def run(self) -> None:
        """Look at every worker once, and mark those lost whose lease has run out."""
        workers, now = self._workers.list(), self._monotonic()
        previous = self._seen_counts
        self._seen_counts = {
            worker.id: previous[worker.id]
            if previous.get(worker.id, (-1, 0.0))[0] == worker.beats
            else (worker.beats, now)
            for worker in workers
        }
        silent = [worker for worker in workers if now - self._seen_counts[worker.id][1] >= self._lease_seconds]
        lost_workers = [worker for worker in workers if worker.state is WorkerState.LOST]
        versions = {worker.version for worker in workers}
        if not silent and not lost_workers and versions == self._versions:
            return
        with self._locks.try_hold(FAILURE_DETECTION_LOCK) as has_lock:
            if has_lock:
                for worker in silent:
                    if worker.state is not WorkerState.LOST and self._workers.mark_lost(worker.id, worker.beats):
                        _log.warning(
                            "the worker %s on %s sends no heartbeat: other workers take over its work",
                            worker.id,
                            worker.node,
                        )
                        lost_workers.append(worker)
                for worker in lost_workers:
                    self._recover(worker)
                    self._workers.remove(worker.id)
                self._requeue_other_versions(versions)
                self._versions = versions
