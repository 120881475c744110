"""Nothing is deleted for its age because a clock was wrong for a while."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.services.collection_site import Site
from tests.store.factories import FACTORIES, add_to_outbox, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.registry_access import PERMIT_SECONDS
from dockgate.delivery.retention import Retention
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.services.retention.retention_clock import ACCEPTED_AFTER, LONGEST_STOP, RetentionClock
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.store.retention.retention_time import RetentionTime

START = datetime(2026, 12, 1, 12, tzinfo=UTC)
JUMP = timedelta(days=40)
MINUTE = timedelta(minutes=1)


class Host:
    """A host whose clock may be wrong, with processes of a server."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.time = START
        self.wrong_by = timedelta()
        self.retention_clock = self.start()

    def start(self) -> RetentionClock:
        self.retention_clock = RetentionClock(
            self.store, lambda: self.time + self.wrong_by, lambda: (self.time - START).total_seconds()
        )
        return self.retention_clock

    def wait(self, duration: timedelta, step: timedelta = MINUTE) -> None:
        """Let a time pass in which the server reads the clock again and again."""
        end = self.time + duration
        while self.time < end:
            self.time = min(self.time + step, end)
            self.retention_clock.record()


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def host(store: Store) -> Host:
    host = Host(store)
    host.retention_clock()
    return host


@pytest.fixture(params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    site.system.use_cases.purge.run()
    yield site
    site.system.discard()


@limit_to_sqlite("store")
def test_a_clock_that_is_right_is_believed(host: Host) -> None:
    for _ in range(50):
        host.time += timedelta(days=1)
        assert host.retention_clock() == host.time


@limit_to_sqlite("store")
def test_a_clock_that_is_ahead_for_a_while_counts_only_the_time_that_has_passed(host: Host) -> None:
    host.wait(timedelta(hours=1))
    host.wrong_by = JUMP
    for _ in range(10):
        host.wait(MINUTE)
        assert host.retention_clock() == host.time
    host.wrong_by = timedelta()
    assert host.retention_clock() == host.time
    assert not host.retention_clock.is_behind()


@limit_to_sqlite("store")
def test_a_clock_that_jumps_again_and_again_is_not_believed(host: Host) -> None:
    for jump in range(20):
        host.wrong_by = JUMP * jump
        host.wait(timedelta(hours=6), timedelta(hours=1))
    assert host.retention_clock() == host.time


@limit_to_sqlite("store")
def test_a_clock_that_stays_ahead_is_believed_after_a_day(host: Host) -> None:
    host.wrong_by = JUMP
    host.wait(MINUTE)
    host.wait(ACCEPTED_AFTER - MINUTE, timedelta(hours=1))
    assert host.retention_clock() == host.time
    host.wait(2 * MINUTE)
    assert host.retention_clock() == host.time + JUMP


@limit_to_sqlite("store")
def test_a_clock_that_is_behind_deletes_nothing_more_and_is_noticed(host: Host) -> None:
    host.wrong_by = -JUMP
    assert host.retention_clock() == host.time - JUMP
    assert host.retention_clock.is_behind()
    host.wait(MINUTE)
    assert host.retention_clock.is_behind()
    host.wrong_by = timedelta()
    assert host.retention_clock() == host.time
    host.wrong_by = -JUMP
    host.wait(MINUTE)
    host.wait(ACCEPTED_AFTER + MINUTE, timedelta(hours=1))
    assert not host.retention_clock.is_behind()


@limit_to_sqlite("store")
def test_a_server_that_starts_while_the_clock_is_ahead_does_not_believe_it(host: Host) -> None:
    host.time += timedelta(hours=1)
    host.wrong_by = JUMP
    host.start()
    assert host.retention_clock() == START
    host.wait(timedelta(hours=2))
    host.wrong_by = timedelta()
    host.start()
    assert host.retention_clock() == host.time


@limit_to_sqlite("store")
@pytest.mark.parametrize(("duration", "is_believed"), [(LONGEST_STOP, True), (timedelta(days=3), False)])
def test_a_server_that_was_stopped_for_long_waits_a_day(host: Host, duration: timedelta, *, is_believed: bool) -> None:
    host.time += duration
    host.start()
    assert (host.retention_clock() == host.time) is is_believed
    host.wait(ACCEPTED_AFTER, timedelta(hours=1))
    assert host.retention_clock() == host.time


def test_another_process_knows_of_a_jump_that_is_not_believed_yet(host: Host) -> None:
    first = host.retention_clock
    host.wrong_by = JUMP
    host.wait(timedelta(hours=1))
    second = host.start()
    assert second() == host.time
    host.wrong_by = timedelta()
    assert second() == first() == host.time


@limit_to_sqlite("store")
@pytest.mark.parametrize("days", [-40, 40])
def test_processes_that_record_in_turn_believe_the_clock_together(host: Host, days: int) -> None:
    """The first one records all the time, the second one only reads, now and then."""
    first, second = host.retention_clock, host.start()
    second()
    host.retention_clock = first
    for wrong_by in (timedelta(), timedelta(days=days)):
        host.wrong_by = wrong_by
        host.wait(timedelta(hours=1))
        assert (first(), second()) == (host.time + min(wrong_by, timedelta()),) * 2
        assert first.is_behind() is second.is_behind() is (wrong_by < timedelta())
    host.wait(ACCEPTED_AFTER, 10 * MINUTE)
    for _ in range(3):
        assert first() == second() == host.time + host.wrong_by
        assert not first.is_behind()
        assert not second.is_behind()
        host.wait(timedelta(hours=6), 10 * MINUTE)


@limit_to_sqlite("store")
def test_reading_the_time_writes_nothing_while_the_clock_is_right(host: Host) -> None:
    before = host.store.retention_times.change(lambda last_record: last_record or RetentionTime("", ""))
    host.time += timedelta(days=100)
    assert host.retention_clock() == host.time
    assert host.store.retention_times.change(lambda last_record: last_record or RetentionTime("", "")) == before


@limit_to_sqlite("site")
def test_nothing_is_lost_while_the_clock_is_ahead(site: Site) -> None:
    purge = site.system.use_cases.purge
    old = site.push("1", b"old")
    site.store.event_log.record(
        [
            NewEvent(f"test/{number}", "dockgate", "test.event", EventSubject("image", old), site.now, {})
            for number in range(3)
        ]
    )
    entry = OutboxEntry(OutboxKind.VERDICT_CHANGE, "1", "ci.example", {}, due_since=site.now, next_at=site.now)
    sent_entry = OutboxEntry(OutboxKind.VERDICT_CHANGE, "2", "ci.example", {}, due_since=site.now, done_at=site.now)
    for new_entry in (entry, sent_entry):
        add_to_outbox(site.store, [new_entry])
    assert len(site.store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)) == 2
    events = [event.id for event in site.store.event_log.read()]
    site.system.clock.wrong_by = timedelta(days=400)
    purge.run()
    report = site.collect()
    assert not report["images"]
    assert not report["others"]
    site.system.clock.wrong_by = timedelta()
    purge.run()
    assert [event.id for event in site.store.event_log.read()] == events
    assert len(site.store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)) == 2
    assert site.list_manifests() == {old} == site.list_pushed_images()


@limit_to_sqlite("site")
def test_messages_that_wait_keep_their_age_while_the_clock_is_behind(site: Site) -> None:
    purge, now = site.system.use_cases.purge, site.now
    add_to_outbox(site.store, [OutboxEntry(OutboxKind.EVENT, "1", "log", {}, due_since=now, next_at=now)])
    site.system.clock.wrong_by = -timedelta(days=400)
    purge.run()
    (entry,) = site.store.outbox.list_entries(OutboxKind.EVENT)
    assert (entry.due_since, entry.next_at) == (now, now)


def test_a_collection_by_a_clock_that_was_ahead_delays_no_later_one(site: Site) -> None:
    site.collection.every_hours = 24
    site.system.clock.wrong_by = JUMP
    site.store.push_barrier.enter(site.now, format_time(site.system.clock() + timedelta(seconds=PERMIT_SECONDS)))
    site.collection.run_due()
    plans = site.system.services.upkeep.collection_plans
    plans.make_due()
    site.system.clock.wrong_by = timedelta()
    old = site.push("1", b"old")
    site.collection.registry_reader.retention = Retention(keep_days=30, keep_images=0)
    plans.make_due()
    plan = plans.find()
    assert plan is not None
    assert plan.made_at <= site.now
    plans.make_due()
    assert plans.find() == plan
    site.advance_clock(days=35)
    site.collection.run_due()
    assert site.list_manifests() == {old}  # a token that can push may be valid
    site.advance_clock(seconds=PERMIT_SECONDS + 1)
    site.collection.run_due()
    assert not site.list_manifests()
