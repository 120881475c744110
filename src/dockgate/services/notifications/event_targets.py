"""Targets of events: applied, listed, tested, and what could not be sent to them."""

import logging
import traceback
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dockgate.events.definitions.target import TargetDefinition
from dockgate.events.envelope import SOURCE
from dockgate.events.grouping import GROUP_TYPE
from dockgate.events.model import RESERVED_TARGETS, Message, NewEvent, Target, TargetType
from dockgate.events.ports import TargetAdapter
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.gate.owner import Owner
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.owners import Owners
from dockgate.shared.canonical import encode
from dockgate.shared.errors import ConflictError, DockgateError, NotFoundError, UnavailableError, UsageError
from dockgate.shared.retry import OUTBOX_RETRIES
from dockgate.shared.timestamps import format_time, to_datetime
from dockgate.store import Store
from dockgate.store.events.outbox import EntryState
from dockgate.store.events.receivers import FAILURES_LIMIT, QueueLength, ReceiverState
from dockgate.store.events.rules import TargetRecord
from dockgate.store.records import OutboxEntry, OutboxKind

# What waits for one target, and what could not be sent to it: older entries are given up, and deleted.
WAITING_LIMIT, DEAD_LIMIT = 10_000, 1_000
TEST_TYPE = "target.test"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target and its delivery state.

    `waiting` and `dead` are numbers of messages; a group of events that are not sent yet is one.
    `given_up` and `deleted` are those that the limits have cost so far.
    `failures` are those in a row: from the fifth on, the target gets one message at a time, not before `paused_until`.
    It refused further messages at `gone_at`. `last_error` is why the last message was not accepted.
    """

    target: Target
    version: int
    changed_at: str | None
    changed_by: str | None
    waiting: int
    dead: int
    failures: int
    is_failing: bool
    paused_until: str | None
    last_error: str | None
    gone_at: str | None
    given_up: int
    deleted: int


@dataclass(frozen=True, slots=True)
class _Message:
    """A message for a target. `position` is the number of its event, `attempts` is how many have failed."""

    key: str
    rule: str | None
    subject: str | None
    position: int
    due_since: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadLetter(_Message):
    """A message that could not be sent.

    `position` is the number of its event, `error` why the last attempt failed.
    """

    error: str | None


@dataclass(frozen=True, slots=True)
class WaitingMessage(_Message):
    """A message that waits for its first or next attempt, which is not before `next_at`.

    `position` is the number of its event. `attempts` have failed; `error` is why the last one did, null before it.
    `events` is how many events it is about: more than one for a group, which is still growing.
    """

    error: str | None
    next_at: str | None
    events: int = 1


@dataclass(frozen=True, slots=True)
class DeliveredMessage(_Message):
    """A message that its target accepted at `delivered_at`.

    `position` is the number of its event; `attempts` failed before.
    """

    delivered_at: str | None


class EventTargets:
    """The targets of this server. `builtin` are those that its settings make."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[TargetType, TargetAdapter],
        builtin: Sequence[Target],
        clock: ServerClock,
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._builtin = {target.name: target for target in builtin}
        self._clock = clock

    def check(self, definition: TargetDefinition, planned_pipelines: Collection[str] = ()) -> None:
        """Raise UsageError for a target that can never be reached, or starts an unknown pipeline."""
        target = definition.target
        if target.type is TargetType.PIPELINE and target.settings["pipeline"] not in planned_pipelines:
            self._require_pipeline(target)
        with _hide_secrets_in_errors(target.name):
            self._adapters[target.type].check(target, definition.secrets)

    def apply(self, definition: TargetDefinition, by: str) -> tuple[TargetRecord, str]:
        """Store a target, and return it with what changed. Raises what `check` raises."""
        self.check(definition)
        target = definition.target
        before = {record.target.name: record.version for record in self._store.event_targets.list()}.get(target.name)
        record = self._store.event_targets.put(target, definition.secrets, by, self._clock.now())
        change = "created" if before is None else "unchanged" if before == record.version else "updated"
        if change == "updated":
            self._store.event_receivers.resume(target.name)
        return record, change

    def _require_pipeline(self, target: Target) -> None:
        try:
            self._store.pipelines.get(str(target.settings["pipeline"]))
        except NotFoundError as error:
            raise UsageError(
                f"the target {target.name} cannot start a pipeline: {error}", "Apply the Pipeline document, too."
            ) from None

    def list_records(self) -> list[TargetRecord]:
        """All targets, those of the settings first."""
        return [*(TargetRecord(target, 0) for target in self._builtin.values()), *self._store.event_targets.list()]

    def read_owners(self) -> Owners:
        """The owners of repositories and their targets, as they are now. They find no owners of events."""
        return Owners.load(self._store, [record.target for record in self.list_records()], None)

    def find(self, name: str) -> Target | None:
        """The target of this name, or None."""
        if name in self._builtin:
            return self._builtin[name]
        try:
            return self._store.event_targets.get(name).target
        except NotFoundError:
            return None

    def list_statuses(self) -> list[TargetStatus]:
        """All targets and their delivery state."""
        states, lengths = self._store.event_receivers.list_states(), self._store.event_receivers.count_entries()
        group_counts = Counter(group.target for group in self._store.event_cursor.list_groups())
        return [
            _make_status(
                record,
                states.get(record.target.name, ReceiverState(OutboxKind.EVENT, record.target.name)),
                lengths.get(record.target.name, QueueLength()),
                group_counts[record.target.name],
            )
            for record in self.list_records()
        ]

    def read_status(self, name: str) -> TargetStatus:
        """A target and its delivery state. Raises NotFoundError."""
        for status in self.list_statuses():
            if status.target.name == name:
                return status
        raise NotFoundError(f"there is no target {name!r}", "`dockgate target list` lists them all.")

    def remove(self, name: str) -> None:
        """Remove a target, and what waits for it. Raises ConflictError for one that a rule or an owner names."""
        if name in RESERVED_TARGETS:
            raise ConflictError(
                f"the server's settings define the target {name!r}",
                "Unset DOCKGATE_EVENT_BUS or DOCKGATE_SNS_TOPIC, or change the rule that names it.",
            )
        self._store.event_targets.get(name)
        for record in self._store.policy_assignments.list():
            if Owner.make_target(name) in record.assignment.owners:
                raise ConflictError(
                    f"the policy assignment {record.assignment.name} names the target {name!r} as an owner",
                    "Change the assignment first.",
                )
        self._store.event_targets.remove(name)
        self._store.event_receivers.forget(name)

    def send(self, message: Message, target: Target) -> None:
        """Send a message. Raises what `events.ports.TargetAdapter.send` raises, and no other error."""
        secrets = self._store.event_targets.read_secrets(target.name)
        with _hide_secrets_in_errors(target.name):
            self._adapters[target.type].send(target, secrets, message)

    def test(self, name: str, by: str) -> None:
        """Send a test event at once. `by` is the principal who asked for it.

        Raises DockgateError with the reason when the target refuses.
        """
        target = self.read_status(name).target
        now = self._clock.now()
        event = NewEvent(
            f"test/{uuid.uuid4()}",
            SOURCE,
            TEST_TYPE,
            EventSubject(SubjectKind.TARGET, name),
            now,
            {"target": name, "by": by},
        )
        body = event.make_envelope()
        text = f"{by} sends a test message to the target {name}. Nothing has happened."
        title = "Dockgate: test message"
        self.send(Message(event.id, "", body, encode(body).decode(), title, text, event.subject), target)
        self._store.event_receivers.record_success(name, now)

    def list_dead_letters(
        self, name: str, limit: int = 100, after: tuple[int, str] | None = None, *, is_newest_first: bool = True
    ) -> list[DeadLetter]:
        """The dead letters of a target by position, after the one of this position and key."""
        self.read_status(name)
        entries = self._list_entries(name, EntryState.DEAD, limit, after, is_newest_first=is_newest_first)
        return [DeadLetter(**_collect_fields(entry), error=entry.last_error) for entry in entries]

    def list_waiting_messages(
        self, name: str, limit: int = 100, after: tuple[int, str] | None = None, *, is_newest_first: bool = False
    ) -> list[WaitingMessage]:
        """The messages that wait for a target, by position, after the one of this position and key.

        Groups of events, which become messages after their pause or the target's quiet hours, are among them.
        """
        status = self.read_status(name)
        paused_until = status.paused_until
        entries = self._list_entries(name, EntryState.WAITING, limit, after, is_newest_first=is_newest_first)
        messages = [
            WaitingMessage(
                **_collect_fields(entry),
                error=entry.last_error,
                next_at=max(filter(None, (entry.next_at, paused_until)), default=None),
            )
            for entry in entries
        ]
        messages += self._list_groups(status.target, paused_until)
        messages.sort(key=_get_page_key, reverse=is_newest_first)
        return [entry for entry in messages if after is None or (_get_page_key(entry) > after) != is_newest_first][
            :limit
        ]

    def _list_groups(self, target: Target, paused_until: str | None) -> Iterator[WaitingMessage]:
        """Yield the groups of events of a target as the messages that they become."""
        now = self._clock()
        quiet_end = target.quiet_hours.find_end(now) if target.quiet_hours else None
        for group in self._store.event_cursor.list_groups():
            if group.target == target.name:
                due = quiet_end or to_datetime(group.last_at) + timedelta(seconds=group.pause_seconds)
                yield WaitingMessage(
                    key=f"{group.rule}/{GROUP_TYPE}/{group.rule}/{group.last_position}",
                    rule=group.rule,
                    subject=f"rule {group.rule}",
                    position=group.last_position,
                    due_since=group.first_at,
                    attempts=0,
                    error=None,
                    next_at=max(format_time(due), paused_until or ""),
                    events=group.count,
                )

    def list_delivered_messages(
        self, name: str, limit: int = 100, after: tuple[int, str] | None = None, *, is_newest_first: bool = True
    ) -> list[DeliveredMessage]:
        """The messages that a target accepted in the last days, as `list_waiting_messages` lists the others."""
        self.read_status(name)
        entries = self._list_entries(name, EntryState.DELIVERED, limit, after, is_newest_first=is_newest_first)
        return [DeliveredMessage(**_collect_fields(entry), delivered_at=entry.done_at) for entry in entries]

    def _list_entries(
        self, name: str, state: EntryState, limit: int, after: tuple[int, str] | None, *, is_newest_first: bool
    ) -> Sequence[OutboxEntry]:
        outbox = self._store.outbox
        return outbox.list_in_state(OutboxKind.EVENT, name, state, limit, after, is_newest_first=is_newest_first)

    def redeliver(self, name: str, keys: Sequence[str] | None = None) -> int:
        """Send dead letters again: those with these keys, or all. Returns how many."""
        self.read_status(name)
        self._store.event_receivers.resume(name)
        return self._store.failed_entries.redeliver(OutboxKind.EVENT, name, self._clock.now(), keys)

    def trim(self) -> None:
        """Keep the waiting messages and the dead letters within the limits."""
        overdue = format_time(self._clock() - timedelta(seconds=OUTBOX_RETRIES.give_up_after or 0))
        reason = f"given up: older than a day, or more than {WAITING_LIMIT} messages waited"
        self._store.event_receivers.trim(WAITING_LIMIT, DEAD_LIMIT, overdue, reason)


@contextmanager
def _hide_secrets_in_errors(target: str) -> Iterator[None]:
    """Raise UnavailableError instead of errors, whose messages may have the target's URL."""
    try:
        yield
    except DockgateError:
        raise
    except Exception as error:
        kind, frames = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
        _log.error("the target %s failed with an internal error, %s:\n%s", target, kind, frames)
        raise UnavailableError(
            f"the target {target} failed with an internal error: {kind}", "The server's log says where."
        ) from None


def _make_status(record: TargetRecord, state: ReceiverState, length: QueueLength, group_count: int) -> TargetStatus:
    return TargetStatus(
        target=record.target,
        version=record.version,
        changed_at=record.changed_at,
        changed_by=record.changed_by,
        waiting=length.waiting + group_count,
        dead=length.dead,
        failures=state.failures,
        is_failing=state.failures >= FAILURES_LIMIT,
        paused_until=state.paused_until,
        last_error=state.last_error,
        gone_at=state.gone_at,
        given_up=state.given_up,
        deleted=state.deleted,
    )


def _get_page_key(message: WaitingMessage) -> tuple[int, str]:
    return message.position, message.key


def _collect_fields(entry: OutboxEntry) -> dict[str, Any]:
    """Return the fields that all messages have."""
    return {
        "key": entry.key,
        "rule": entry.payload.get("rule"),
        "subject": str(entry.subject) if entry.subject else None,
        "position": entry.position or 0,
        "due_since": entry.due_since,
        "attempts": entry.attempts,
    }
