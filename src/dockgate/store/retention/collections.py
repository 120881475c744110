"""Collections of garbage, and the barrier that keeps pushes out meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update

from dockgate.shared.errors import NotFoundError
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.queries import select_as
from dockgate.store.schema.retention import collection_plan, collections, push_barrier
from dockgate.store.statements import insert_if_new, lock_name, select_later_time

# Collections that are on record.
RECORDS = 100
_BARRIER = "pushes"
_PLAN = "next"


@dataclass(frozen=True, slots=True)
class GarbageCollectionRun:
    """A collection.

    `error` says why it ended before its time, `report` what it removed (nothing before its end).
    """

    seq: int
    requested_at: str
    requested_by: str
    started_at: str | None
    finished_at: str | None
    error: str | None
    report: Mapping[str, Any]


_COLLECTION = select_as(GarbageCollectionRun, collections)
_UNFINISHED_COLLECTION = _COLLECTION.where(collections.c.finished_at.is_(None))
_SAVED_PLAN = select(collection_plan.c.plan)


class Collections:
    """The collections table. One collection at a time is not finished."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def request(self, by: str, now: str) -> GarbageCollectionRun:
        """Request a collection, and return it; or the one that is not finished yet."""
        with self._database.write() as connection:
            lock_name(connection, collections, "")
            present_row = connection.execute(_UNFINISHED_COLLECTION).mappings().first()
            if present_row is None:
                row = {"requested_at": now, "requested_by": by, "report": {}}
                connection.execute(insert(collections).values(**row))
                present_row = connection.execute(_UNFINISHED_COLLECTION).mappings().one()
                connection.execute(delete(collections).where(collections.c.seq <= present_row["seq"] - RECORDS))
            return GarbageCollectionRun(**present_row)

    def get(self, number: int) -> GarbageCollectionRun:
        """The collection with this number. Raises NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(_COLLECTION.where(collections.c.seq == number)).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no collection {number}", "`dockgate gc --list` lists the last ones.")
        return GarbageCollectionRun(**row)

    def list(self, limit: int = RECORDS) -> Sequence[GarbageCollectionRun]:
        """The collections, newest first."""
        query = _COLLECTION.order_by(collections.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            return [GarbageCollectionRun(**row) for row in connection.execute(query).mappings()]

    def find_unfinished(self) -> GarbageCollectionRun | None:
        """The collection that is not finished, None if all are."""
        with self._database.read() as connection:
            row = connection.execute(_UNFINISHED_COLLECTION).mappings().first()
            return None if row is None else GarbageCollectionRun(**row)

    def start(self, number: int, now: str) -> None:
        """Record when a collection started. The first time stays."""
        change = update(collections).where(collections.c.seq == number, collections.c.started_at.is_(None))
        with self._database.write() as connection:
            connection.execute(change.values(started_at=now))

    def finish(self, number: int, report: Mapping[str, Any], error: str | None, now: str) -> None:
        """End a collection. Does nothing when it has ended."""
        change = update(collections).where(collections.c.seq == number, collections.c.finished_at.is_(None))
        with self._database.write() as connection:
            connection.execute(change.values(report=dict(report), error=error, finished_at=now))

    def find_last_end(self, latest_time: str) -> str | None:
        """The time at which the last collection finished, None if none has.

        Those after `latest_time` do not count.
        """
        is_plausible = collections.c.finished_at <= latest_time
        with self._database.read() as connection:
            last_end: str | None = connection.scalar(select(func.max(collections.c.finished_at)).where(is_plausible))
            return last_end

    def save_plan(self, plan: Mapping[str, Any]) -> None:
        """Store the plan of the next collection, instead of the one before."""
        row = {"name": _PLAN, "plan": dict(plan)}
        with self._database.write() as connection:
            if not insert_if_new(connection, collection_plan, row):
                connection.execute(update(collection_plan).values(plan=row["plan"]))

    def find_plan(self) -> Mapping[str, Any] | None:
        """The stored plan, None if none was stored."""
        with self._database.read() as connection:
            return connection.scalar(_SAVED_PLAN)


class PushBarrier:
    """The barrier that keeps pushes to our registry out while its manifests and blobs are deleted.

    The registry requires a token for each push, and checks only the token. So there are no pushes while no token that
    can push is valid: the barrier is closed for new ones, and `close` says until when the earlier ones are valid.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter(self, now: str, until: str) -> bool:
        """Record that a token that can push is issued, valid until that time. False, if the barrier is closed."""
        with self._database.write() as connection:
            if insert_if_new(connection, push_barrier, {"name": _BARRIER, "pushes_until": until}):
                return True
            is_open = or_(push_barrier.c.closed_until.is_(None), push_barrier.c.closed_until <= now)
            change = update(push_barrier).where(push_barrier.c.name == _BARRIER, is_open)
            values = {
                "pushes_until": select_later_time(connection, push_barrier.c.pushes_until, until),
                "closed_until": None,
            }
            return connection.execute(change.values(**values)).rowcount == 1

    def close(self, until: str, latest_valid: str) -> str:
        """Close the barrier until that time, or longer if it is closed longer.

        Returns until when a token may be valid that can push. No token that is valid now is so after `latest_valid`: a
        later time on record is that of a clock that was ahead, and is replaced.
        """
        with self._database.write() as connection:
            insert_if_new(connection, push_barrier, {"name": _BARRIER, "pushes_until": ""})
            is_shorter = or_(push_barrier.c.closed_until.is_(None), push_barrier.c.closed_until < until)
            connection.execute(update(push_barrier).where(is_shorter).values(closed_until=until))
            is_ahead = push_barrier.c.pushes_until > compute_latest_time(latest_valid)
            connection.execute(update(push_barrier).where(is_ahead).values(pushes_until=latest_valid))
            pushes_until: str = connection.scalars(select(push_barrier.c.pushes_until)).one()
            return pushes_until

    def open(self) -> None:
        """Open the barrier."""
        with self._database.write() as connection:
            connection.execute(update(push_barrier).values(closed_until=None))

    def find_pushes_until(self) -> str | None:
        """Return until when a token may be valid that can push, None if there never was one."""
        with self._database.read() as connection:
            return connection.scalar(select(push_barrier.c.pushes_until)) or None
