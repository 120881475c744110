"""Notices: the outbox of what people are to be told."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, update

from dockgate.events.notifications import NoticeDelivery
from dockgate.store.engine import Database, insert_new
from dockgate.store.queries import select_as
from dockgate.store.schema import notices

_TELLING = select_as(NoticeDelivery, notices)


class Notices:
    """Notices on their way to notifiers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, notice_deliveries: Sequence[NoticeDelivery]) -> None:
        """One for each key and notifier: what stands there already stays as it is."""
        with self._database.write() as connection:
            write(connection, notice_deliveries)

    def due(self, notifier: str, now: str, limit: int) -> Sequence[NoticeDelivery]:
        """What this notifier is to be told by now, the longest due first."""
        query = _TELLING.where(notices.c.notifier == notifier, notices.c.next_at != "", notices.c.next_at <= now)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(notices.c.next_at).limit(limit)).mappings()
            return [NoticeDelivery(**row) for row in rows]

    def told(self, key: str, notifier: str, now: str) -> None:
        """Nothing is due any more. The first time stands."""
        change = update(notices).where(
            notices.c.key == key, notices.c.notifier == notifier, notices.c.delivered_at == ""
        )
        with self._database.write() as connection:
            connection.execute(change.values(delivered_at=now, next_at="", last_error=""))

    def failed(self, key: str, notifier: str, attempts: int, error: str, next_at: str) -> None:
        """Failed for the `attempts`th time; due again at `next_at`, never again when that is "". Does nothing when it
        was told, or has failed as often already.
        """
        open_ = (
            *(notices.c.key == key, notices.c.notifier == notifier),
            *(notices.c.delivered_at == "", notices.c.attempts < attempts),
        )
        change = update(notices).where(*open_).values(attempts=attempts, last_error=error, next_at=next_at)
        with self._database.write() as connection:
            connection.execute(change)

    def purge(self, before: str) -> int:
        """Forgets those written before that time, told or not. Returns how many."""
        with self._database.write() as connection:
            return connection.execute(delete(notices).where(notices.c.since < before)).rowcount


def write(connection: Connection, notice_deliveries: Sequence[NoticeDelivery]) -> None:
    """Within a transaction that does what they tell of."""
    for telling in notice_deliveries:
        insert_new(connection, notices, asdict(telling))
