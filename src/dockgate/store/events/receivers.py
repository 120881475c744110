"""The circuit breaker of the outbox, and the limits of what waits for a receiver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_, update

from dockgate.shared.retry import RECEIVER_PAUSES
from dockgate.shared.timestamps import format_time
from dockgate.store.engine import Database
from dockgate.store.queries import select_as
from dockgate.store.records import OutboxKind
from dockgate.store.schema.events import outbox, outbox_receivers
from dockgate.store.statements import insert_if_new, lock_rows

# After so many failures in a row, a receiver gets one entry at a time, and pauses in between (`RECEIVER_PAUSES`).
FAILURES_LIMIT = 5
# Before this many failures in a row, no entry is given up because of its age. With RECEIVER_PAUSES they take three
# hours: a clock that jumped, or a server that was down for a day, is no reason to give up what was hardly tried.
FAILURES_BEFORE_GIVING_UP = 30


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """The health of a receiver. `failures` are those in a row; it gets nothing before `paused_until`.

    It accepts no more entries since `gone_at`. `last_error` is of the last entry, failed or refused.
    `given_up` counts entries that became dead letters because too many waited, `deleted` the dead letters that were
    deleted because there were too many.
    """

    kind: OutboxKind
    receiver: str
    failures: int = 0
    given_up: int = 0
    deleted: int = 0
    paused_until: str | None = None
    last_error: str | None = None
    last_sent_at: str | None = None
    gone_at: str | None = None


@dataclass(frozen=True, slots=True)
class QueueLength:
    """The number of entries that wait for a receiver, and of its dead letters."""

    waiting: int = 0
    dead: int = 0


_STATES = select_as(ReceiverState, outbox_receivers).where(outbox_receivers.c.kind == bindparam("kind"))
_LOCKED_STATE = lock_rows(_STATES.where(outbox_receivers.c.receiver == bindparam("receiver")))
_FAILURES = select(outbox_receivers.c.failures).where(
    outbox_receivers.c.kind == bindparam("kind"), outbox_receivers.c.receiver == bindparam("receiver")
)
_WAITING_COUNT = func.count(outbox.c.next_at)
_QUEUE_LENGTHS = (
    select(outbox.c.receiver, _WAITING_COUNT, func.count() - _WAITING_COUNT)
    .where(outbox.c.kind == bindparam("kind"), outbox.c.done_at.is_(None), outbox.c.subject.is_not(None))
    .where(outbox.c.dismissed_at.is_(None))
    .group_by(outbox.c.receiver)
)


class OutboxReceivers:
    """The state of the receivers of one kind of entries."""

    def __init__(self, database: Database, kind: OutboxKind) -> None:
        self._database = database
        self._kind = kind

    def record_success(self, receiver: str, now: str) -> None:
        """End the receiver's failures."""
        values = {"failures": 0, "paused_until": None, "last_error": None, "last_sent_at": now, "gone_at": None}
        self._database.group_commit(lambda connection: self._change(connection, receiver, values))

    def record_failure(self, receiver: str, error: str, now: datetime) -> None:
        """Count a failure, and let the receiver pause when there were too many in a row.

        A failure during a pause does not lengthen it: the entry was sent before the pause began.
        """

        def run(connection: Connection) -> None:
            state = self._lock(connection, receiver)
            is_pausing = state.paused_until is not None and state.paused_until > format_time(now)
            failures, until = state.failures + (not is_pausing), state.paused_until if is_pausing else None
            if failures >= FAILURES_LIMIT and not is_pausing:
                until = format_time(
                    RECEIVER_PAUSES.compute_next_attempt(receiver, failures - FAILURES_LIMIT + 1, now) or now
                )
            self._change(
                connection, receiver, {"failures": failures, "paused_until": until, "last_error": error[:2000]}
            )

        self._database.group_commit(run)

    def record_refusal(self, receiver: str, error: str) -> None:
        """Note why an entry can never be sent. This is not a failure of the receiver: it delays nothing."""
        self._database.group_commit(lambda connection: self._change(connection, receiver, {"last_error": error[:2000]}))

    def record_gone(self, receiver: str, error: str, now: str) -> None:
        """Note that the receiver accepts no more entries, until `resume` or `record_success`."""

        def run(connection: Connection) -> None:
            state = self._lock(connection, receiver)
            self._change(connection, receiver, {"last_error": error[:2000], "gone_at": state.gone_at or now})

        self._database.group_commit(run)

    def resume(self, receiver: str) -> None:
        """End a pause and the state "gone": the next entry is sent at once."""
        with self._database.write() as connection:
            self._change(connection, receiver, {"paused_until": None, "gone_at": None})

    def list_states(self) -> dict[str, ReceiverState]:
        """The receivers that have a state, by name."""
        with self._database.read() as connection:
            rows = connection.execute(_STATES, {"kind": self._kind}).mappings()
            return {row["receiver"]: ReceiverState(**row) for row in rows}

    def count_entries(self) -> dict[str, QueueLength]:
        """Count the waiting and the dead entries, by receiver."""
        with self._database.read() as connection:
            rows = connection.execute(_QUEUE_LENGTHS, {"kind": self._kind})
            return {receiver: QueueLength(waiting, dead) for receiver, waiting, dead in rows}

    def trim(self, waiting_limit: int, dead_limit: int, overdue_before: str, error: str) -> Sequence[str]:
        """Give up the oldest entries beyond `waiting_limit` of each receiver.

        Also give up the entries that are due since before `overdue_before`, if their receiver failed
        FAILURES_BEFORE_GIVING_UP times in a row. Those of others were hardly tried: the server was down, or its clock
        jumped. Then delete the oldest dead entries beyond `dead_limit`. Both are counted. Returns the receivers
        concerned.
        """
        receivers = []
        for receiver, length in self.count_entries().items():
            with self._database.write() as connection:
                given_up = self._give_up(connection, receiver, length.waiting - waiting_limit, overdue_before, error)
                deleted_count = self._delete_dead(connection, receiver, length.dead + given_up - dead_limit)
                if given_up or deleted_count:
                    state = self._lock(connection, receiver)
                    values = {"given_up": state.given_up + given_up, "deleted": state.deleted + deleted_count}
                    self._change(connection, receiver, values)
                    receivers.append(receiver)
        return receivers

    def forget(self, receiver: str) -> None:
        """Delete all entries of a receiver that no longer exists, and its state."""
        with self._database.write() as connection:
            is_for_receiver = outbox.c.kind == self._kind, outbox.c.receiver == receiver
            connection.execute(delete(outbox).where(*is_for_receiver))
            connection.execute(
                delete(outbox_receivers).where(
                    outbox_receivers.c.kind == self._kind, outbox_receivers.c.receiver == receiver
                )
            )

    def _give_up(self, connection: Connection, receiver: str, excess: int, overdue_before: str, error: str) -> int:
        is_waiting = (
            *(outbox.c.kind == self._kind, outbox.c.receiver == receiver),
            *(outbox.c.next_at.is_not(None), outbox.c.claimed_by.is_(None)),
        )
        oldest_keys = (
            select(outbox.c.key).where(*is_waiting).order_by(outbox.c.position, outbox.c.key).limit(max(excess, 0))
        )
        keys = [*connection.scalars(oldest_keys.with_for_update(skip_locked=True))]
        if self._count_failures(connection, receiver) >= FAILURES_BEFORE_GIVING_UP:
            overdue = select(outbox.c.key).where(*is_waiting, outbox.c.due_since < overdue_before)
            keys += connection.scalars(overdue.with_for_update(skip_locked=True))
        for start in range(0, len(keys), 500):
            conditions = (*is_waiting, outbox.c.key.in_(keys[start : start + 500]))
            connection.execute(
                update(outbox)
                .where(*conditions)
                .values(next_at=None, last_error=func.coalesce(outbox.c.last_error + "; ", "") + error)
            )
        return len(set(keys))

    def _delete_dead(self, connection: Connection, receiver: str, excess: int) -> int:
        if excess <= 0:
            return 0
        is_dead = (
            *(outbox.c.kind == self._kind, outbox.c.receiver == receiver),
            *(outbox.c.next_at.is_(None), outbox.c.done_at.is_(None), outbox.c.dismissed_at.is_(None)),
        )
        oldest_keys = select(outbox.c.key).where(*is_dead).order_by(outbox.c.position, outbox.c.key).limit(excess)
        identity = tuple_(outbox.c.kind, outbox.c.receiver, outbox.c.key)
        keys = [
            (self._kind, receiver, key) for key in connection.scalars(oldest_keys.with_for_update(skip_locked=True))
        ]
        for start in range(0, len(keys), 300):
            connection.execute(delete(outbox).where(identity.in_(keys[start : start + 300])))
        return len(keys)

    def _count_failures(self, connection: Connection, receiver: str) -> int:
        return connection.scalar(_FAILURES, {"kind": self._kind, "receiver": receiver}) or 0

    def _lock(self, connection: Connection, receiver: str) -> ReceiverState:
        new = {"kind": self._kind, "receiver": receiver, "failures": 0, "given_up": 0, "deleted": 0}
        insert_if_new(connection, outbox_receivers, new)
        row = connection.execute(_LOCKED_STATE, {"kind": self._kind, "receiver": receiver}).mappings().one()
        return ReceiverState(**row)

    def _change(self, connection: Connection, receiver: str, values: Mapping[str, object]) -> None:
        conditions = outbox_receivers.c.kind == self._kind, outbox_receivers.c.receiver == receiver
        if connection.execute(update(outbox_receivers).where(*conditions).values(**values)).rowcount == 0:
            new = {"kind": self._kind, "receiver": receiver, "failures": 0, "given_up": 0, "deleted": 0, **values}
            insert_if_new(connection, outbox_receivers, new)
