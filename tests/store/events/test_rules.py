"""Contract of the store: rules, targets, the order and the limits of what is sent to them. Calls are made twice."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, add_to_outbox, open_store_of_kind

from dockgate.config import KEY_FILE
from dockgate.events.delivery_times import QuietHours
from dockgate.events.model import Rule, RuleTarget, Target, TargetInput, TargetType
from dockgate.events.subject import EventSubject
from dockgate.events.topics import GroupedEvent, Reopening
from dockgate.shared.errors import ConflictError, NotFoundError, StoreError
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.events.outbox import EntryState
from dockgate.store.events.receivers import FAILURES_BEFORE_GIVING_UP, FAILURES_LIMIT, QueueLength
from dockgate.store.events.rules import EventTargetTable
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.store.secret_box import SecretBox

NOW, LATER, LATEST = "2026-11-28T12:00:00.000Z", "2026-11-28T12:00:01.000Z", "2026-11-28T13:00:00.000Z"
RULE = Rule(
    "tell",
    {"source": ["dockgate"], "detail": {"n": [{"numeric": [">", 1]}]}},
    (RuleTarget("chat", TargetInput(path="$.id"), 30),),
)
CHAT = Target("chat", TargetType.APPRISE, "slack", quiet_hours=QuietHours("22:00", "06:00", "Europe/Berlin"))
SECRETS = {"url": "slack://T000/B000/very-secret"}


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def make_entry(
    key: str, position: int, subject: str = "service web", receiver: str = "chat", at: str = NOW
) -> OutboxEntry:
    return OutboxEntry(
        OutboxKind.EVENT,
        key,
        receiver,
        {"rule": "tell"},
        due_since=at,
        next_at=at,
        subject=EventSubject.parse(subject),
        position=position,
    )


def claim(store: Store, now: str = LATEST, limit: int = 4) -> list[OutboxEntry]:
    return list(store.outbox.claim(OutboxKind.EVENT, now, "a server", limit, 10))


def list_keys(entries: list[OutboxEntry]) -> list[str]:
    return [entry.key for entry in entries]


# --- documents -------------------------------------------------------------------------------------------------------


def test_a_rule_comes_back_as_it_was_applied_and_counts_its_changes(store: Store) -> None:
    for now in (NOW, LATER):
        store.event_rules.put(RULE, "ada", now)
    (record,) = store.event_rules.list()
    assert (record.rule, record.version, record.changed_at, record.changed_by) == (RULE, 1, NOW, "ada")
    changed_rule = store.event_rules.put(Rule("tell", {}, ()), "bob", LATER)
    assert (changed_rule.version, changed_rule.changed_by) == (2, "bob")
    for _ in range(2):
        store.event_rules.remove("tell")
    assert store.event_rules.list() == []


def test_a_target_comes_back_without_its_secrets_which_are_encrypted(store: Store, tmp_path: Path) -> None:
    for now in (NOW, LATER):
        store.event_targets.put(CHAT, SECRETS, "ada", now)
    record = store.event_targets.get("chat")
    assert (record.target, record.version, record.changed_at) == (CHAT, 1, NOW)
    assert store.event_targets.read_secrets("chat") == SECRETS
    assert "very-secret" not in repr(store.event_targets.list())
    assert store.event_targets.put(CHAT, {"url": "slack://other"}, "ada", LATER).version == 2
    assert store.event_targets.read_secrets("none") == {}
    with pytest.raises(NotFoundError, match="none"):
        store.event_targets.get("none")


def test_the_key_is_private_and_no_secret_is_readable_in_the_data_folder(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path) as store:
        store.event_targets.put(CHAT, SECRETS, "ada", NOW)
        (key,) = tmp_path.rglob(KEY_FILE)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or b"very-secret" not in file.read_bytes()
        other_targets = EventTargetTable(store.database, SecretBox(tmp_path))
        with pytest.raises(StoreError, match=KEY_FILE):
            EventTargetTable(store.database, SecretBox(key.parent / "..")).read_secrets("chat")
        assert other_targets is not None


def test_a_target_in_use_is_not_removed(store: Store) -> None:
    store.event_targets.put(CHAT, SECRETS, "ada", NOW)
    store.event_rules.put(RULE, "ada", NOW)
    with pytest.raises(ConflictError, match="tell"):
        store.event_targets.remove("chat")
    store.event_rules.remove("tell")
    for _ in range(2):
        store.event_targets.remove("chat")
    assert store.event_targets.list() == []


# --- the cursor ------------------------------------------------------------------------------------------------------


def test_the_cursor_moves_with_what_follows_and_only_from_where_it_is(store: Store) -> None:
    assert store.event_cursor.read_position() == 0
    assert store.event_cursor.advance(0, 2, [make_entry("a", 1)], [], NOW)
    assert not store.event_cursor.advance(0, 3, [make_entry("b", 3)], [], NOW)
    assert store.event_cursor.read_position() == 2
    assert list_keys(claim(store)) == ["a"]


def group(position: int, topic: str, at: str = NOW) -> GroupedEvent:
    return GroupedEvent("chat", "tell", position, at, 30, topic)


def test_events_of_a_known_topic_are_not_grouped_again(store: Store) -> None:
    cursor = store.event_cursor
    assert cursor.advance(0, 3, [], [group(1, "x"), group(2, "y"), group(3, "x")], NOW)
    (waiting,) = cursor.list_groups()
    assert (waiting.target, waiting.count, waiting.first_at, waiting.pause_seconds) == ("chat", 2, NOW, 30)
    assert cursor.list_grouped_positions("chat", "tell", 10) == [1, 2]
    for _ in range(2):
        cursor.move_group_to_outbox("chat", "tell", 2, make_entry("digest", 2, "group"))
    assert cursor.list_groups() == []
    assert list_keys(claim(store)) == ["digest"]
    assert cursor.advance(3, 4, [], [group(4, "y", LATER)], NOW)
    assert cursor.list_groups() == []
    assert cursor.advance(4, 5, [], [group(5, "y", LATEST)], LATEST)
    assert [group.count for group in cursor.list_groups()] == [1]


def test_topics_that_an_event_reopens_are_news_again(store: Store) -> None:
    cursor, every = store.event_cursor, Reopening("aa", "aa0", "aa")
    assert cursor.advance(0, 3, [], [group(1, "aa01"), group(2, "aa02"), group(3, "ab01")], NOW)
    reopened_groups = [
        replace(group(4, "aa00", LATER), reopens=every),
        group(5, "aa01", LATER),
        group(6, "aa01", LATER),
        group(7, "ab01", LATER),
    ]
    assert cursor.advance(3, 7, [], reopened_groups, NOW)
    assert cursor.list_grouped_positions("chat", "tell", 10) == [1, 2, 3, 4, 5]
    assert cursor.advance(7, 8, [], [group(8, "aa02", LATER)], NOW)
    assert cursor.list_grouped_positions("chat", "tell", 10)[5:] == [8]
    recent = replace(group(9, "aa03", LATER), reopens=Reopening("aa", "aa0", "aa", LATER))
    assert cursor.advance(8, 10, [], [recent, group(10, "aa02", LATER)], NOW)
    assert cursor.list_grouped_positions("chat", "tell", 10)[6:] == [9]


def test_topics_are_forgotten_after_a_time(store: Store) -> None:
    assert store.event_cursor.advance(0, 1, [], [group(1, "x")], NOW)
    assert store.event_cursor.purge_topics(NOW, LATEST) == 0
    assert store.event_cursor.purge_topics(LATER, LATEST) == 1


def test_a_topic_of_the_future_is_forgotten(store: Store) -> None:
    assert store.event_cursor.advance(0, 1, [], [group(1, "x", LATEST)], NOW)
    assert store.event_cursor.purge_topics(NOW, LATER) == 1


def test_a_summary_is_sent_once_for_each_time(store: Store) -> None:
    for _ in range(2):
        store.event_cursor.send_summary("chat", NOW, LATER, [make_entry("summary", 0, "summary")])
    store.event_cursor.send_summary("chat", NOW, LATER, [make_entry("another", 0, "summary")])
    assert store.event_cursor.find_last_summary_time("chat") == NOW
    assert list_keys(claim(store)) == ["summary"]


def test_a_summary_of_the_future_does_not_keep_back_the_next(store: Store) -> None:
    store.event_cursor.send_summary("chat", LATEST, LATEST, [make_entry("early", 0, "summary")])
    store.event_cursor.send_summary("chat", NOW, LATER, [make_entry("next", 1, "summary")])
    assert store.event_cursor.find_last_summary_time("chat") == NOW
    assert list_keys(claim(store)) == ["early"]


def test_what_a_wrong_clock_put_off_is_due_once_the_clock_is_right(store: Store) -> None:
    ahead = datetime.fromisoformat("2030-01-01T00:00:00.000Z")
    add_to_outbox(
        store, [replace(make_entry("a", 1), next_at=format_time(ahead)), replace(make_entry("b", 2), next_at=LATEST)]
    )
    for _ in range(FAILURES_LIMIT):
        store.event_receivers.record_failure("chat", "no", ahead)
    assert claim(store, LATEST) == []
    assert store.outbox.bring_forward(LATEST, NOW) == 1
    assert store.outbox.bring_forward(LATEST, NOW) == 0
    assert store.event_receivers.list_states()["chat"].paused_until is None
    store.event_receivers.record_success("chat", NOW)
    assert list_keys(claim(store, NOW)) == ["a"]


# --- the order -------------------------------------------------------------------------------------------------------


def test_entries_of_a_subject_wait_for_the_one_before(store: Store) -> None:
    add_to_outbox(
        store,
        [
            make_entry("b", 2),
            make_entry("a", 1),
            make_entry("c", 3, "service api"),
            make_entry("d", 1, receiver="mail"),
        ],
    )
    first = claim(store)
    assert sorted(list_keys(first)) == ["a", "c", "d"]
    assert claim(store) == []
    store.outbox.fail(next(entry for entry in first if entry.key == "a"), "no", "2026-11-28T23:00:00.000Z")
    assert claim(store) == []
    store.outbox.fail(next(entry for entry in claim(store, "2026-11-29T00:00:00.000Z") if entry.key == "a"), "no", None)
    assert list_keys(claim(store)) == ["b"]


def test_a_receiver_that_fails_pauses_and_holds_up_no_other(store: Store) -> None:
    receivers, now = store.event_receivers, datetime.fromisoformat(NOW)
    add_to_outbox(store, [make_entry(str(number), number, str(number)) for number in range(6)])
    add_to_outbox(store, [make_entry("mail", 1, receiver="mail")])
    for _ in range(FAILURES_LIMIT - 1):
        receivers.record_failure("chat", "no", now)
    assert receivers.list_states()["chat"].paused_until is None
    receivers.record_failure("chat", "no", now)
    state = receivers.list_states()["chat"]
    assert state.failures == FAILURES_LIMIT
    assert state.paused_until is not None
    assert state.paused_until > NOW
    for _ in range(3):  # they were under way when the pause began
        receivers.record_failure("chat", "no", now)
    assert receivers.list_states()["chat"] == state
    assert list_keys(claim(store, LATER)) == ["mail"]
    assert list_keys(claim(store, LATEST)) == ["0"], "a probe: one entry at a time"
    assert claim(store, LATEST) == []
    receivers.record_success("chat", LATEST)
    assert list_keys(claim(store, LATEST)) == ["1", "2", "3"]
    assert receivers.list_states()["chat"].last_sent_at == LATEST


# --- the limits ------------------------------------------------------------------------------------------------------


def test_what_waits_and_what_is_dead_is_limited_and_counted(store: Store) -> None:
    add_to_outbox(store, [make_entry(f"{number:02}", number, str(number)) for number in range(10)])
    for _ in range(2):
        store.event_receivers.trim(6, 3, "", "too many wait")
    assert store.event_receivers.count_entries() == {"chat": QueueLength(waiting=6, dead=3)}
    state = store.event_receivers.list_states()["chat"]
    assert (state.given_up, state.deleted) == (4, 1)
    list_dead = partial(store.outbox.list_in_state, OutboxKind.EVENT, "chat", EntryState.DEAD, 10)
    assert list_keys(list(list_dead(None, is_newest_first=True))) == ["03", "02", "01"]
    assert list_keys(list(list_dead((2, "02"), is_newest_first=True))) == ["01"]
    assert list_keys(list(list_dead((1, "01"), is_newest_first=False))) == ["02", "03"]
    waiting = store.outbox.list_in_state(
        OutboxKind.EVENT, "chat", EntryState.WAITING, 2, (4, "04"), is_newest_first=False
    )
    assert list_keys(list(waiting)) == ["05", "06"]


def test_entries_are_given_up_by_their_age_only_after_many_failures(store: Store) -> None:
    """The server may have been down since then, or its clock has jumped: they were hardly tried."""
    add_to_outbox(store, [make_entry(f"{number:02}", number, str(number)) for number in range(6)])
    now = datetime.fromisoformat(LATER)
    for failures in range(FAILURES_BEFORE_GIVING_UP):
        store.event_receivers.trim(6, 100, LATER, "overdue")
        assert store.event_receivers.count_entries()["chat"].waiting == 6, f"{failures} failures"
        store.event_receivers.record_failure("chat", "down", now)
        now += timedelta(hours=1)
    store.event_receivers.trim(6, 100, LATER, "overdue")
    assert store.event_receivers.count_entries()["chat"] == QueueLength(waiting=0, dead=6)


def test_dead_letters_are_sent_again_on_request(store: Store) -> None:
    add_to_outbox(store, [make_entry("a", 1), make_entry("b", 2)])
    store.event_receivers.trim(0, 10, "", "down")
    assert claim(store) == []
    assert store.failed_entries.redeliver(OutboxKind.EVENT, "chat", LATER, ["a"]) == 1
    assert store.failed_entries.redeliver(OutboxKind.EVENT, "chat", LATER, ["a"]) == 0
    (next_claim,) = claim(store)
    assert (next_claim.key, next_claim.attempts, next_claim.due_since) == ("a", 0, LATER)
    store.outbox.complete(next_claim, LATEST)
    assert store.failed_entries.redeliver(OutboxKind.EVENT, "chat", LATER) == 1
    assert store.outbox.purge_delivered(OutboxKind.EVENT, LATEST) == 0
    assert store.outbox.purge_delivered(OutboxKind.EVENT, "2027") == 1


def test_a_rule_starts_a_pipeline_only_so_often(store: Store) -> None:
    allow = store.pipeline_starts.allow
    for _ in range(2):
        assert allow("1", "tell", "build", NOW, "2026", 2)
    assert allow("2", "tell", "build", LATER, "2026", 2)
    assert not allow("3", "tell", "build", LATER, "2026", 2)
    assert allow("2", "tell", "build", LATER, "2026", 2)
    assert allow("3", "tell", "build", LATEST, LATER, 2)
    assert allow("1", "another", "build", NOW, "2026", 1)
    # Another server, or another thread, has looked at its clock a moment later.
    assert allow("7", "together", "build", "2026-11-24T12:00:00.001Z", "2026", 1)
    assert not allow("8", "together", "build", "2026-11-24T12:00:00.000Z", "2026", 1)
    # A clock that was ahead does not use up the limit.
    assert allow("4", "ahead", "build", LATEST, "2026", 1)
    assert allow("5", "ahead", "build", NOW, "2026", 1)
    assert not allow("6", "ahead", "build", NOW, "2026", 1)
