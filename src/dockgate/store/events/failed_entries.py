"""Entries of the outbox whose last attempt failed: retried, given up (dead letters), or dismissed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select, tuple_, update

from dockgate.store.engine import Database
from dockgate.store.queries import find_sort_column, make_after_value_conditions, select_as
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.store.schema.events import outbox

# What failing entries are sorted by: `due_since`, kind, key and receiver.
FailingPosition = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class FailingCount:
    """How many entries of a kind fail, and how many of them were `given_up`: they are not tried again.

    `error` is why the newest of these was given up, None if none was.
    """

    kind: OutboxKind
    failing: int
    given_up: int
    error: str | None


ENTRY = select_as(OutboxEntry, outbox)
_IDENTITY = (outbox.c.kind, outbox.c.key, outbox.c.receiver)
_IS_DISMISSED = outbox.c.dismissed_at.is_not(None)
_IS_OVER = (outbox.c.next_at.is_(None), outbox.c.done_at.is_(None), outbox.c.due_since.is_not(None))
IS_DEAD = (*_IS_OVER, ~_IS_DISMISSED)
_IS_FAILING = outbox.c.done_at.is_(None), outbox.c.last_error.is_not(None)
_NOT_DISMISSED = {"dismissed_at": None, "dismissed_by": None, "dismissal_reason": None}


def _select_failing_counts() -> Select[Any]:
    """The number of failing entries of each kind, of those given up, and why the newest of these was given up."""
    is_given_up = outbox.c.next_at.is_(None)
    newest_first = is_given_up.desc(), outbox.c.due_since.desc(), outbox.c.key
    given_up_count = func.sum(case((is_given_up, 1), else_=0))
    ranked_entries = (
        select(
            outbox.c.kind,
            func.count().over(partition_by=outbox.c.kind).label("failing"),
            given_up_count.over(partition_by=outbox.c.kind).label("given_up"),
            case((is_given_up, outbox.c.last_error)).label("error"),
            func.row_number().over(partition_by=outbox.c.kind, order_by=newest_first).label("rank"),
        )
        .where(*_IS_FAILING, ~_IS_DISMISSED)
        .subquery()
    )
    columns = (column for column in ranked_entries.c if column.name != "rank")
    return select(*columns).where(ranked_entries.c.rank == 1).order_by(ranked_entries.c.kind)


_FAILING_COUNTS = _select_failing_counts()


class FailedEntries:
    """The entries that failed. `wake` tells the senders of a kind that entries are due."""

    def __init__(self, database: Database, wake: Callable[[OutboxKind], None]) -> None:
        self._database = database
        self._wake = wake

    def list(
        self,
        limit: int,
        after: FailingPosition | None = None,
        *,
        is_newest_first: bool = True,
        kind: OutboxKind | None = None,
        is_given_up: bool | None = None,
        is_dismissed: bool = False,
    ) -> Sequence[OutboxEntry]:
        """Entries of all kinds, or one, that are not done and whose last attempt failed, by `due_since`.

        `after` are `due_since`, kind, key and receiver of the entry to continue from. `is_given_up` selects those that
        are not tried again, or only the others; `is_dismissed` those that were dismissed, which are else left out.
        """
        sort_columns = outbox.c.due_since, *_IDENTITY
        query = ENTRY.where(
            *_IS_FAILING,
            _IS_DISMISSED if is_dismissed else ~_IS_DISMISSED,
            *make_after_value_conditions(tuple_(*sort_columns), after and tuple_(*after), is_newest_first),
        )
        if kind is not None:
            query = query.where(outbox.c.kind == kind)
        if is_given_up is not None:
            query = query.where(outbox.c.next_at.is_(None) if is_given_up else outbox.c.next_at.is_not(None))
        query = query.order_by(*(find_sort_column(column, is_newest_first) for column in sort_columns)).limit(limit)
        with self._database.read() as connection:
            return [OutboxEntry(**row) for row in connection.execute(query).mappings()]

    def count(self) -> Sequence[FailingCount]:
        """Count the entries that `list` lists, by kind."""
        with self._database.read() as connection:
            return [FailingCount(**row) for row in connection.execute(_FAILING_COUNTS).mappings()]

    def list_given_up(
        self, kind: OutboxKind, receiver: str, limit: int, keys: Sequence[str] | None = None
    ) -> Sequence[OutboxEntry]:
        """Dead letters of a receiver, the oldest first: all, or those with these keys, dismissed ones too."""
        query = ENTRY.where(*_select_dead(kind, receiver, keys))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(outbox.c.due_since, outbox.c.key).limit(limit)).mappings()
            return [OutboxEntry(**row) for row in rows]

    def redeliver(self, kind: OutboxKind, receiver: str, now: str, keys: Sequence[str] | None = None) -> int:
        """Make dead letters due again: all, or those with these keys, dismissed ones too. Returns how many."""
        values = {"next_at": now, "due_since": now, "attempts": 0, "last_error": None}
        is_dead = _select_dead(kind, receiver, keys)
        change = update(outbox).where(*is_dead).values(**values, **_NOT_DISMISSED)
        with self._database.write() as connection:
            count = connection.execute(change).rowcount
        self._wake(kind)
        return count

    def dismiss(
        self, kind: OutboxKind, receiver: str, now: str, by: str, reason: str, keys: Sequence[str] | None = None
    ) -> int:
        """Dismiss dead letters, those with these keys or all. Returns how many.

        They fail no more. They are listed as dismissed until they are purged, and can be sent again by their keys.
        """
        is_dead = (*IS_DEAD, *_select_dead(kind, receiver, keys))
        values = {"dismissed_at": now, "dismissed_by": by, "dismissal_reason": reason}
        with self._database.write() as connection:
            return connection.execute(update(outbox).where(*is_dead).values(**values)).rowcount


def _select_dead(kind: OutboxKind, receiver: str, keys: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """The condition of dead letters of a receiver: all, or those with these keys, dismissed ones too."""
    conditions = [outbox.c.kind == kind, outbox.c.receiver == receiver]
    return [*conditions, *IS_DEAD] if keys is None else [*conditions, *_IS_OVER, outbox.c.key.in_(keys)]
