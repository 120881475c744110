"""Workers: a silent one is marked lost by the failure detector, once, and only while it can read."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, NOW, open_store_of_kind

from dockgate.services.clock import ServerClock
from dockgate.shared.errors import NotFoundError, UnavailableError
from dockgate.store import Store
from dockgate.store.records import Worker, WorkerState
from dockgate.workflows.leases import FailureDetector, Lease, LeaseTimes

TIMES = LeaseTimes()
CLOCK = ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC))


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def make_worker(name: str) -> Worker:
    return Worker(name, "host", "1", ("build", "scan"), {"arch": "arm64"}, started_at=NOW, seen_at=NOW)


def make_lease(store: Store, name: str, time: Time, events: list[str]) -> Lease:
    store.workers.add(make_worker(name))
    return Lease(
        store.workers,
        make_worker(name),
        CLOCK,
        on_drain=lambda: events.append("drain"),
        on_lost=lambda: events.append("lost"),
        monotonic=time,
    )


def test_workers_are_added_listed_and_removed_twice(store: Store) -> None:
    for _ in range(2):
        store.workers.add(make_worker("one"))
    assert store.workers.list() == [make_worker("one")]
    assert store.workers.record_heartbeat("one", NOW) is WorkerState.ACTIVE
    assert store.workers.list()[0].beats == 1
    for _ in range(2):
        store.workers.remove("one")
    assert store.workers.list() == []
    assert store.workers.record_heartbeat("one", NOW) is WorkerState.LOST


def test_an_unknown_worker_is_neither_drained_nor_given_up(store: Store) -> None:
    for change in (store.workers.drain, store.workers.end, store.workers.mark_lost):
        with pytest.raises(NotFoundError, match="no worker 'unknown'"):
            change("unknown")


def test_a_silent_worker_is_given_up_once_and_one_that_beats_is_not(store: Store) -> None:
    time, recovered_workers = Time(), list[str]()
    alive = make_lease(store, "alive", time, [])
    store.workers.add(make_worker("silent"))
    detectors = [
        FailureDetector(store.workers, store.locks, lambda worker: recovered_workers.append(worker.id), monotonic=time)
        for _ in "12"
    ]
    for _ in range(int(TIMES.lease) + 1):
        for detector in detectors:
            detector.run()
        alive.send_heartbeat()
        time.seconds += 1
    for detector in detectors:
        detector.run()
    assert recovered_workers == ["silent"]
    assert [worker.id for worker in store.workers.list()] == ["alive"]


def test_a_failure_detector_that_could_not_read_for_a_while_recovers_no_process(store: Store) -> None:
    time, recovered_workers = Time(), list[str]()
    detector = FailureDetector(
        store.workers, store.locks, lambda worker: recovered_workers.append(worker.id), monotonic=time
    )
    lease = make_lease(store, "cut off with the detector", time, [])
    detector.run()
    time.seconds += 10 * TIMES.lease  # the database was away: neither could beat or look
    lease.send_heartbeat()
    detector.run()
    assert recovered_workers == []


def test_recovery_that_was_interrupted_is_repeated(store: Store) -> None:
    time, attempts = Time(), list[str]()
    store.workers.add(make_worker("silent"))

    def recover(worker: Worker) -> None:
        attempts.append(worker.id)
        if len(attempts) == 1:
            raise UnavailableError("the database is away")

    detector = FailureDetector(store.workers, store.locks, recover, monotonic=time)
    detector.run()
    time.seconds += TIMES.lease
    with pytest.raises(UnavailableError):
        detector.run()
    assert [worker.state for worker in store.workers.list()] == [WorkerState.LOST]
    FailureDetector(store.workers, store.locks, recover, monotonic=time).run()
    assert attempts == ["silent", "silent"]
    assert store.workers.list() == []


def test_the_work_of_a_removed_worker_goes_on_elsewhere_only_when_it_runs_no_more_effects(store: Store) -> None:
    time, recovered_workers, events = Time(), list[tuple[str, bool]](), list[str]()
    lease = make_lease(store, "removed", time, events)
    detector = FailureDetector(
        store.workers, store.locks, lambda worker: recovered_workers.append((worker.id, lease.is_fresh)), monotonic=time
    )
    lease.send_heartbeat()
    store.workers.end("removed")
    detector.run()
    assert (recovered_workers, events) == ([], [])
    lease.send_heartbeat()
    detector.run()
    assert (recovered_workers, events) == ([("removed", False)], ["lost"])


@pytest.mark.parametrize("state", [WorkerState.ACTIVE, WorkerState.DRAINING])
def test_a_removed_worker_that_beats_no_more_is_given_up_after_its_lease(store: Store, state: WorkerState) -> None:
    time, recovered_workers = Time(), list[str]()
    store.workers.add(replace(make_worker("removed"), state=state))
    detector = FailureDetector(
        store.workers, store.locks, lambda worker: recovered_workers.append(worker.id), monotonic=time
    )
    for _ in range(2):
        store.workers.end("removed")
    detector.run()
    time.seconds += TIMES.lease - 0.1
    detector.run()
    assert recovered_workers == []
    time.seconds += 0.1
    detector.run()
    assert recovered_workers == ["removed"]


def test_a_worker_that_beat_again_in_time_is_not_given_up(store: Store) -> None:
    store.workers.add(make_worker("late"))
    store.workers.record_heartbeat("late", NOW)
    assert not store.workers.mark_lost("late", beats=0)
    assert store.workers.list()[0].state is WorkerState.ACTIVE
    assert store.workers.mark_lost("late", beats=1)


def test_effects_are_refused_before_the_worker_can_be_given_up(store: Store) -> None:
    time = Time()
    lease = make_lease(store, "slow", time, [])
    lease.send_heartbeat()
    lease.require()
    time.seconds += TIMES.fence
    with pytest.raises(UnavailableError, match="cannot reach its database or its shared folder"):
        lease.require()
    lease.send_heartbeat()
    lease.require()
    assert TIMES.fence < TIMES.lease


def test_a_worker_learns_that_it_was_drained_and_that_it_was_given_up(store: Store) -> None:
    events: list[str] = []
    lease = make_lease(store, "one", Time(), events)
    lease.send_heartbeat()
    store.workers.drain("one")
    lease.send_heartbeat()
    lease.send_heartbeat()
    assert events == ["drain"]
    store.workers.mark_lost("one")
    lease.send_heartbeat()
    assert events == ["drain", "lost"]
