"""The time by which ages are counted before anything is deleted, as the last process recorded it."""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import insert, select, update

from dockgate.store.engine import Database
from dockgate.store.schema.retention import retention_time
from dockgate.store.statements import lock_name

_NAME = "retention"


class RetentionTime(NamedTuple):
    """The time that is trusted, and the time of the clock when it was recorded.

    `accepted_at` is when the clock's time is accepted, which is later than the trusted time; None if they agree.
    """

    trusted_time: str
    clock_time: str
    accepted_at: str | None = None


class RetentionTimes:
    """The table of one row with the time for retention."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(self, compute: Callable[[RetentionTime | None], RetentionTime]) -> RetentionTime:
        """Replace the recorded time (None before the first) by what `compute` makes of it, and return that."""
        columns = retention_time.c["trusted", "clock_time", "accepted_at"]
        with self._database.write() as connection:
            lock_name(connection, retention_time, _NAME)
            row = connection.execute(select(*columns)).first()
            time = compute(None if row is None else RetentionTime(*row))
            statement = insert(retention_time).values(name=_NAME) if row is None else update(retention_time)
            row_values = zip(columns.keys(), time, strict=True)
            connection.execute(statement.values(dict(row_values)))
            return time
