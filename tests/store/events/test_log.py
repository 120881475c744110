"""Contract of the event log on both databases: numbers, repetitions, and transactions that overlap."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, open_store_of_kind

from dockgate.events.model import NewEvent, StoredEvent
from dockgate.events.subject import EventSubject
from dockgate.events.topics import GroupedEvent, Reopening
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store
from dockgate.store.events.log import RECENT, append_events
from dockgate.store.records import OutboxEntry, OutboxKind


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def make_event(event_id: str, time: str = NOW) -> NewEvent:
    return NewEvent(
        event_id, "dockgate", "image.judged", EventSubject("image", "a"), time, {"n": [1, None, {"é": 1.5}]}, ("a", "b")
    )


def list_ids(store: Store, after: int = 0, limit: int = 100) -> list[str]:
    return [event.id for event in store.event_log.read(after, limit)]


def test_events_are_read_in_the_order_of_their_numbers(store: Store) -> None:
    store.event_log.record([make_event("b"), make_event("a")])
    with store.database.write() as connection:
        append_events(connection, [make_event("c")])
    first, second, third = store.event_log.read()
    assert [first.id, second.id, third.id] == ["b", "a", "c"]
    assert first.seq < second.seq < third.seq == store.event_log.read_newest_seq()
    assert first.body == make_event("b").make_envelope()
    assert first.body["resources"] == ["a", "b"]
    assert (first.source, first.detail_type, str(first.subject), first.at) == (
        "dockgate",
        "image.judged",
        "image a",
        NOW,
    )
    assert list_ids(store, after=first.seq) == ["a", "c"]
    assert list_ids(store, after=first.seq, limit=1) == ["a"]
    assert list_ids(store, after=third.seq) == []
    assert (store.event_log.count(10), store.event_log.count(2)) == (3, 2)


def test_subjects_of_any_text_are_stored_as_they_are(store: Store) -> None:
    subjects = ['a"b\\c{},NULL', "NULL", "", "\n\t", "é\u2028😀", "'; drop", "\\N"]
    events = [
        NewEvent(str(number), subject, subject, EventSubject.parse(subject), NOW, {"text": subject}, repository=subject)
        for number, subject in enumerate(subjects)
    ]
    store.event_log.record(events)
    stored_events = store.event_log.read()
    assert [str(event.subject) for event in stored_events] == subjects
    assert [event.body for event in stored_events] == [event.make_envelope() for event in events]


def test_the_latest_events_of_some_kinds_are_found(store: Store) -> None:
    deploys = [
        NewEvent(name, "dockgate", "deploy.failed", EventSubject("service", "a"), time, {})
        for name, time in (("a", NOW), ("b", LATER))
    ]
    store.event_log.record([deploys[0], make_event("c", LATER), deploys[1], make_event("d", LATER)])
    kinds = ["deploy.failed", "none.such"]
    assert [entry.id for entry in store.event_log.list_newest(kinds, NOW, 10)] == ["b", "a"]
    assert [entry.id for entry in store.event_log.list_newest(kinds, NOW, 1)] == ["b"]
    assert [entry.id for entry in store.event_log.list_newest(kinds, LATER, 10)] == ["b"]


def test_events_that_a_reader_may_not_see_hide_none_that_it_may(store: Store) -> None:
    def deploy(name: str, repository: str | None, pipeline: str | None, kind: str = "deploy.failed") -> NewEvent:
        subject = EventSubject("service", name.rpartition("-")[0])
        return NewEvent(name, "dockgate", kind, subject, NOW, {}, repository=repository, pipeline=pipeline)

    def can_see(repository: str | None, pipeline: str | None) -> bool:
        return repository == "mine" or pipeline == "mine"

    events = [
        deploy("web-1", "mine", None, "deploy.succeeded"),
        deploy("web-2", "mine", "foreign"),
        deploy("jobs-1", None, "mine"),
        deploy("jobs-2", None, "foreign", "deploy.succeeded"),
    ]
    foreign_events = [deploy(f"api-{number}", "foreign", "foreign") for number in range(RECENT + 1)]
    store.event_log.record([*events, deploy("none-1", None, None), *foreign_events])
    kinds = ["deploy.failed", "deploy.succeeded"]
    assert [entry.id for entry in store.event_log.list_newest(kinds, NOW, 3)] == [f"api-{RECENT - n}" for n in range(3)]
    assert [entry.id for entry in store.event_log.list_newest(kinds, NOW, 2, can_see)] == ["jobs-1", "web-2"]
    assert [entry.id for entry in store.event_log.list_last(kinds, can_see)] == ["jobs-1", "web-2"]
    assert [entry.id for entry in store.event_log.list_last(kinds)] == [f"api-{RECENT}"]
    assert store.event_log.list_newest(kinds, LATER, 9, can_see) == []
    assert store.event_log.list_newest(kinds, NOW, 9, lambda repository, pipeline: False) == []


def test_an_event_is_stored_once(store: Store) -> None:
    store.event_log.record([make_event("a"), make_event("a", LATER)])
    store.event_log.record([make_event("a", LATER), make_event("b")])
    assert [(event.id, event.at) for event in store.event_log.read()] == [("a", NOW), ("b", NOW)]
    store.event_log.record([])


def test_an_event_is_found_by_its_id(store: Store) -> None:
    store.event_log.record([make_event("a")])
    assert store.event_log.get("a").body["detail"] == {"n": [1, None, {"é": 1.5}]}
    with pytest.raises(NotFoundError, match="'b'"):
        store.event_log.get("b")


def test_an_undone_transaction_leaves_no_event(store: Store) -> None:
    def fail() -> None:
        with store.database.write() as connection:
            append_events(connection, [make_event("a")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    store.event_log.record([make_event("b")])
    assert list_ids(store) == ["b"]


def match_events(store: Store, entries: Sequence[OutboxEntry] = (), groups: Sequence[GroupedEvent] = ()) -> None:
    """Have rules match every event so far."""
    assert store.event_cursor.advance(
        store.event_cursor.read_position(), store.event_log.read_newest_seq(), entries, groups, NOW
    )


def test_old_events_are_purged_though_no_reader_has_numbered_them(store: Store) -> None:
    store.event_log.record([make_event("first")])
    match_events(store)
    store.event_log.record([make_event("a", LATER)])
    assert store.event_log.purge(LATER) == 1
    assert list_ids(store) == ["a"]


def test_events_that_rules_have_not_matched_are_not_purged(store: Store) -> None:
    store.event_log.record([make_event("a"), make_event("b")])
    match_events(store)
    store.event_log.record([make_event("c"), make_event("d")])
    store.event_log.purge(LATER)
    assert list_ids(store) == ["c", "d"]


def test_events_of_messages_that_are_not_sent_are_not_purged(store: Store) -> None:
    store.event_log.record([make_event(name) for name in ("unsent", "grouped", "done", "newest")])
    unsent, grouped_event, sent_event, _ = store.event_log.read()

    def make_entry(event: StoredEvent) -> OutboxEntry:
        return OutboxEntry(
            OutboxKind.EVENT, event.id, "ops", {"event": event.id}, due_since=NOW, next_at=NOW, position=event.seq
        )

    match_events(
        store,
        [make_entry(unsent), make_entry(sent_event)],
        [GroupedEvent("ops", "rule", grouped_event.seq, NOW, 30, "topic")],
    )
    store.outbox.complete(make_entry(sent_event), NOW)
    store.event_log.purge(LATER)
    assert list_ids(store) == ["unsent", "grouped", "newest"]
    store.outbox.fail(make_entry(unsent), "refused", None)
    store.event_log.purge(LATER)
    assert list_ids(store) == ["unsent", "grouped", "newest"], "a dead letter can be sent again"
    store.event_cursor.delete_group("ops", "rule")
    store.outbox.complete(make_entry(unsent), NOW)
    store.event_log.purge(LATER)
    assert list_ids(store) == ["newest"]


def test_an_event_that_is_sent_once_its_state_has_settled_is_not_purged(store: Store) -> None:
    store.event_log.record([make_event(name) for name in ("bad", "well", "bad again", "newest")])
    bad, well, repeated_event, _ = store.event_log.read()
    is_bad, is_well = Reopening("aa", "aa1", "aa0"), Reopening("aa", "aa0", "aa", NOW)
    states = ((bad, "aa1", is_bad), (well, "aa0", is_well), (repeated_event, "aa1", is_bad))
    match_events(
        store,
        groups=[
            GroupedEvent("ops", "rule", stored_event.seq, NOW, 30, topic, state)
            for stored_event, topic, state in states
        ],
    )
    entry = OutboxEntry(OutboxKind.EVENT, "group", "ops", {}, due_since=NOW, next_at=NOW, position=well.seq)
    store.event_cursor.move_group_to_outbox("ops", "rule", well.seq, entry)
    store.outbox.complete(entry, NOW)
    store.event_log.purge(LATER)
    assert list_ids(store) == ["bad again", "newest"]
    store.event_cursor.settle(NOW, LATER, LATER)
    assert store.event_cursor.list_grouped_positions("ops", "rule", 10) == [repeated_event.seq]


def test_old_events_are_purged_and_numbers_are_never_used_again(store: Store) -> None:
    store.event_log.record([make_event("a"), make_event("b")])
    newest_number = store.event_log.read_newest_seq()
    match_events(store)
    for _ in range(2):
        store.event_log.purge(LATER)
        assert list_ids(store) == ["b"]
    store.event_log.record([make_event("c", LATER)])
    assert list_ids(store, after=newest_number) == ["c"]
    store.event_log.purge(LATER)
    assert list_ids(store) == ["c"]


def test_a_reader_misses_no_event_of_a_transaction_that_commits_late(tmp_path: Path) -> None:
    with open_store_of_kind("postgres", tmp_path) as store:
        with store.database.write() as connection:
            append_events(connection, [make_event("begun first")])
            store.event_log.record([make_event("committed first")])
            (first,) = store.event_log.read()
            assert first.id == "committed first"
        assert list_ids(store, after=first.seq) == ["begun first"]


def test_concurrent_writers_and_readers_agree_on_the_numbers(store: Store) -> None:
    writers, count = 4, 25
    read: list[list[tuple[int, str]]] = [[], []]
    is_over = threading.Event()

    def write(name: int) -> None:
        for number in range(count):
            store.event_log.record([make_event(f"{name}-{number}-{part}") for part in range(3)])

    def follow(into: list[tuple[int, str]]) -> None:
        after = 0
        while True:
            last = is_over.is_set()
            events = store.event_log.read(after, 7)
            into.extend((event.seq, event.id) for event in events)
            if events:
                after = events[-1].seq
            elif last:
                return

    readers = [threading.Thread(target=follow, args=(into,)) for into in read]
    threads = [threading.Thread(target=write, args=(name,)) for name in range(writers)]
    for thread in (*readers, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    is_over.set()
    for thread in readers:
        thread.join()
    assert read[0] == read[1]
    assert len({event_id for _, event_id in read[0]}) == writers * count * 3
    for name in range(writers):  # the order of each writer's own transactions
        own_ids = [event_id for _, event_id in read[0] if event_id.startswith(f"{name}-")]
        assert own_ids == [f"{name}-{number}-{part}" for number in range(count) for part in range(3)]
