"""The event log: everything that happened, numbered.

A reader continues after the last `seq` that it has seen, and must never miss an event. On Postgres, transactions
commit in another order than they insert, so a number that is given at the insert would appear late. So events are
inserted without a number. Readers give it to the events that are committed, one reader at a time: every number that a
reader can see is lower than those that come later. A transaction that appends never waits. On SQLite, which has one
writer at a time, an event gets its number at the insert.

Events of one subject keep the order of their transactions if these exclude each other, by the row that they change.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, bindparam, func, select, update
from sqlalchemy.dialects import sqlite

from dockgate.events.model import NewEvent, StoredEvent
from dockgate.shared.errors import NotFoundError
from dockgate.store.engine import Database
from dockgate.store.queries import count_rows, is_one_of, make_text_list, select_as
from dockgate.store.records import OutboxKind
from dockgate.store.schema.events import event_cursors, event_log, grouped_events, outbox, unsettled_states
from dockgate.store.statements import delete_unlocked, insert_in_order, is_postgres, lock_name

# Events that get their number in one transaction.
NUMBER_BATCH = 5000
# Events that are read at once by their numbers.
READ_BATCH = 500
# Events among which the latest of some kinds are looked for, and those for readers who see a part of them only.
RECENT, RECENT_OF_PART = 5000, 50_000

_EVENT = select_as(StoredEvent, event_log).where(event_log.c.seq.is_not(None))
_EVENT_OF_ID = _EVENT.where(event_log.c.id == bindparam("id"))
_EVENTS_AFTER = (
    _EVENT.where(event_log.c.seq > bindparam("after"))
    .order_by(event_log.c.seq)
    .limit(bindparam("limit", type_=Integer))
)
_NEWEST_SEQ = select(func.coalesce(func.max(event_log.c.seq), 0))
# The repository and the pipeline of an event in one text. Texts with a line break are no names.
_SCOPE = func.coalesce(event_log.c.repository, "") + "\n" + func.coalesce(event_log.c.pipeline, "")
# The events that `EventLog.list_newest` searches, and their scopes; those of some scopes.
_IS_RECENT = (
    event_log.c.seq > _NEWEST_SEQ.scalar_subquery() - bindparam("recent_count", type_=Integer),
    event_log.c.at >= bindparam("since"),
    is_one_of(event_log.c.detail_type, "kinds"),
)
_RECENT_SCOPES = select(event_log.c.repository, event_log.c.pipeline).where(*_IS_RECENT).distinct()
_IS_VISIBLE = is_one_of(_SCOPE, "scopes")
_NEWEST_FIRST = _EVENT.order_by(event_log.c.seq.desc())
_NEWEST_EVENTS = _NEWEST_FIRST.where(*_IS_RECENT).limit(bindparam("limit", type_=Integer))
_NEWEST_VISIBLE_EVENTS = _NEWEST_EVENTS.where(_IS_VISIBLE)
_LAST_SEQS = select(func.max(event_log.c.seq)).where(*_IS_RECENT).group_by(event_log.c.subject)
_LAST_EVENTS = _NEWEST_FIRST.where(event_log.c.seq.in_(_LAST_SEQS))
_LAST_VISIBLE_EVENTS = _NEWEST_FIRST.where(event_log.c.seq.in_(_LAST_SEQS.where(_IS_VISIBLE)))
_UNNUMBERED_POSITION = select(event_log.c.position).where(event_log.c.seq.is_(None)).limit(1)
_NUMBERS = (
    select(
        event_log.c.position,
        (func.row_number().over(order_by=event_log.c.position) + bindparam("newest_seq", type_=BigInteger)).label(
            "number"
        ),
    )
    .where(event_log.c.seq.is_(None))
    .order_by(event_log.c.position)
    .limit(NUMBER_BATCH)
    .subquery()
)
_ASSIGN_NUMBERS = update(event_log).where(event_log.c.position == _NUMBERS.c.position).values(seq=_NUMBERS.c.number)
_INSERT_NUMBERED = (
    sqlite.insert(event_log)
    .values(seq=select(func.coalesce(func.max(event_log.c.seq), 0) + 1).scalar_subquery())
    .on_conflict_do_nothing()
)
# The last event that rules have matched, the events that are to become one message (now, or once their state has
# settled), and those of unsent messages.
_MATCHED_POSITION = select(func.coalesce(func.max(event_cursors.c.position), 0)).scalar_subquery()
_GROUPED_POSITIONS = select(grouped_events.c.position).union_all(select(unsettled_states.c.position))
_UNSENT_POSITIONS = select(outbox.c.position).where(
    outbox.c.kind == OutboxKind.EVENT, outbox.c.done_at.is_(None), outbox.c.position.is_not(None)
)


# Returns whether a reader may see events of a repository and a pipeline, either of which may be None.
CanSee = Callable[[str | None, str | None], bool]


class EventLog:
    """Stored events. Reading is the same on all servers of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, events: Sequence[NewEvent]) -> None:
        """Add events in a transaction of their own."""
        if events:
            self._database.group_commit(lambda connection: append_events(connection, events))

    def read(self, after: int = 0, limit: int = 100) -> Sequence[StoredEvent]:
        """The first events whose `seq` is greater than `after`, in the order of `seq`.

        No event appears later with a `seq` that was read past.
        """
        self._number_committed_events()
        with self._database.read() as connection:
            rows = connection.execute(_EVENTS_AFTER, {"after": after, "limit": limit})
            return [StoredEvent(**row) for row in rows.mappings()]

    def list_newest(
        self, kinds: Sequence[str], since: str, limit: int, can_see: CanSee | None = None
    ) -> Sequence[StoredEvent]:
        """Events of these kinds (`detail_type`) since that time, newest first.

        Only the newest RECENT of all kinds are searched. With `can_see`, events of other repositories and pipelines
        do not count, and the newest RECENT_OF_PART are searched.
        """
        self._number_committed_events()
        with self._database.read() as connection:
            parameters = _make_recent_parameters(connection, kinds, since, can_see)
            query = _NEWEST_EVENTS if can_see is None else _NEWEST_VISIBLE_EVENTS
            rows = connection.execute(query, {**parameters, "limit": limit})
            return [StoredEvent(**row) for row in rows.mappings()]

    def list_last(self, kinds: Sequence[str], can_see: CanSee | None = None) -> Sequence[StoredEvent]:
        """The last event of these kinds about each subject, newest first, searched as by `list_newest`."""
        self._number_committed_events()
        with self._database.read() as connection:
            parameters = _make_recent_parameters(connection, kinds, "", can_see)
            rows = connection.execute(_LAST_EVENTS if can_see is None else _LAST_VISIBLE_EVENTS, parameters)
            return [StoredEvent(**row) for row in rows.mappings()]

    def read_by_seq(self, numbers: Sequence[int]) -> Iterator[StoredEvent]:
        """The events with these numbers that are still stored, in this order, a few at a time."""
        for start in range(0, len(numbers), READ_BATCH):
            query = _EVENT.where(event_log.c.seq.in_(numbers[start : start + READ_BATCH])).order_by(event_log.c.seq)
            with self._database.read() as connection:
                rows = connection.execute(query).mappings().all()
            yield from (StoredEvent(**row) for row in rows)

    def read_newest_seq(self) -> int:
        """The `seq` of the newest event, or 0."""
        self._number_committed_events()
        with self._database.read() as connection:
            seq: int = connection.execute(_NEWEST_SEQ).scalar_one()
            return seq

    def count(self, limit: int) -> int:
        """The number of events, at most `limit`."""
        with self._database.read() as connection:
            return count_rows(connection, _EVENT, limit)

    def get(self, event_id: str) -> StoredEvent:
        """An event by its id. NotFoundError if it is unknown."""
        self._number_committed_events()
        with self._database.read() as connection:
            row = connection.execute(_EVENT_OF_ID, {"id": event_id}).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no event {event_id!r}", "Old ones are deleted. See `dockgate events list`.")
        return StoredEvent(**row)

    def purge(self, before: str) -> int:
        """Delete the events before that time that nothing needs any more. Returns how many.

        Needed are those that no rule has matched yet, and those that a message waits to be sent with. The newest stays,
        whatever its age: the next number follows from it.
        """
        self._number_committed_events()
        with self._database.write() as connection:
            newest_seq = _NEWEST_SEQ.scalar_subquery()
            seq = event_log.c.seq
            conditions = (
                event_log.c.at < before,
                seq < newest_seq,
                seq <= _MATCHED_POSITION,
                seq.not_in(_GROUPED_POSITIONS),
                seq.not_in(_UNSENT_POSITIONS),
            )
            return delete_unlocked(connection, event_log, *conditions)

    def _number_committed_events(self) -> None:
        """Number the committed events that have no number yet."""
        if not self._database.is_shared:
            return
        while True:
            with self._database.read() as connection:
                if connection.scalar(_UNNUMBERED_POSITION) is None:
                    return
            with self._database.write() as connection:
                lock_name(connection, event_log, "seq")
                _assign_numbers(connection)


def _make_recent_parameters(
    connection: Connection, kinds: Sequence[str], since: str, can_see: CanSee | None
) -> dict[str, Any]:
    """The parameters of `_IS_RECENT`, with `can_see` also those of `_IS_VISIBLE`."""
    recent_count = RECENT if can_see is None else RECENT_OF_PART
    parameters = {"kinds": make_text_list(kinds), "since": since, "recent_count": recent_count}
    if can_see is None:
        return parameters
    scopes = connection.execute(_RECENT_SCOPES, parameters)
    visible_scopes = [f"{row.repository or ''}\n{row.pipeline or ''}" for row in scopes if can_see(*row)]
    return {**parameters, "scopes": make_text_list(sorted(visible_scopes))}


def append_events(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Add those events whose id is new, in this order, within a transaction.

    They are its last rows, after outbox entries. Two transactions that may add the same ids must exclude each other by
    a row that they lock before, or add them in the same order.
    """
    if not events:
        return
    rows = [
        {
            "id": event.id,
            "source": event.source,
            "detail_type": event.detail_type,
            "subject": event.subject,
            "at": event.time,
            "repository": event.repository,
            "pipeline": event.pipeline,
            "body": event.make_envelope(),
        }
        for event in events
    ]
    if is_postgres(connection):
        insert_in_order(connection, event_log, rows)
    else:
        connection.execute(_INSERT_NUMBERED, rows)


def _assign_numbers(connection: Connection) -> None:
    """Give the next numbers to events without one. Only one transaction at a time may do this."""
    newest_seq = connection.execute(_NEWEST_SEQ).scalar_one()
    connection.execute(_ASSIGN_NUMBERS, {"newest_seq": newest_seq})
