"""Fixes that were found for pipelines: at most one of each pipeline is open, and a day has a limit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, Update, and_, bindparam, delete, insert, or_, select, update

from dockgate.delivery.fixes import Fix, FixKind, FixState
from dockgate.events.model import NewEvent
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import make_row, select_as
from dockgate.store.schema.delivery import fixes
from dockgate.store.statements import delete_unlocked, lock_name

_IS_WITHHELD = fixes.c.state == FixState.WITHHELD
_IS_OPEN = fixes.c.state.in_([state for state in FixState if state.is_open])
_IS_BY_HAND = fixes.c.kind == FixKind.BY_HAND
_IS_OF_PIPELINE = fixes.c.pipeline == bindparam("pipeline")

_FIX = select_as(Fix, fixes)
_FIX_BY_ID = _FIX.where(fixes.c.id == bindparam("id"))
_FIXES = _FIX.where(_IS_OF_PIPELINE).order_by(fixes.c.created_at.desc(), fixes.c.id).limit(bindparam("limit"))
_OPEN_FIX = _FIX.where(_IS_OF_PIPELINE, _IS_OPEN)
_WITHHELD_FIX = _FIX.where(_IS_OF_PIPELINE, _IS_WITHHELD)
_RECENT_IDS = select(fixes.c.id).where(
    _IS_OF_PIPELINE, fixes.c.created_at > bindparam("after"), fixes.c.created_at <= bindparam("until")
)
_RECENT_IDS_BY_HAND, _RECENT_IDS_OF_OTHERS = _RECENT_IDS.where(_IS_BY_HAND), _RECENT_IDS.where(~_IS_BY_HAND)
_PIPELINES = select(fixes.c.pipeline).where(or_(_IS_OPEN, _IS_WITHHELD))

_UPDATE_FIX = update(fixes).where(fixes.c.id == bindparam("of_id"))
_UPDATE_PLANNED_FIX = _UPDATE_FIX.where(fixes.c.state == FixState.PLANNED)
_UPDATE_OPEN_FIX = _UPDATE_FIX.where(_IS_OPEN)
_DELETE_WITHHELD_FIX = delete(fixes).where(_IS_OF_PIPELINE, _IS_WITHHELD)


class FixTable:
    """Fixes of rejected images.

    A row is written before anything is done, so that a fix is made once, whatever is interrupted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, fix: Fix, since: str, limit: int, branches: Collection[str]) -> Fix | None:
        """Store a fix before it is made, and return it if it is to be made.

        None if another fix of its pipeline is open, if `limit` fixes of the pipeline were planned since then, or if it
        is known. Fixes by hand are counted apart: that a person has to act keeps back no fix that comes later.

        One that was superseded is not lost: it is open again with the branch on which it was offered, and planned again
        without one, or if that is not among the `branches` of its repository. It counts for the limit of the day when
        it was planned first. One that is over the limit is stored as withheld, instead of the pipeline's last one.
        """
        with self._database.write() as connection:
            lock_name(connection, fixes, fix.pipeline)
            connection.execute(_DELETE_WITHHELD_FIX, {"pipeline": fix.pipeline})
            former = _read_first(connection, _FIX_BY_ID, {"id": fix.id})
            if former is not None and (former.state is not FixState.SUPERSEDED or former.execution is not None):
                return None
            if _read_first(connection, _OPEN_FIX, {"pipeline": fix.pipeline}) is not None:
                return None
            if former is not None:
                new_fix = replace(fix, created_at=former.created_at)
                if former.branch in branches:
                    new_fix = replace(former, state=FixState.OFFERED, reason=None, ended_at=None)
                connection.execute(_UPDATE_FIX, {"of_id": fix.id, **make_row(new_fix)})
                return new_fix if new_fix.state is FixState.PLANNED else None
            period = {"after": since, "until": compute_latest_time(fix.created_at)}
            recent_ids = _RECENT_IDS_BY_HAND if fix.kind is FixKind.BY_HAND else _RECENT_IDS_OF_OTHERS
            if len(connection.scalars(recent_ids, {"pipeline": fix.pipeline, **period}).all()) >= limit:
                reason = f"{limit} of {limit} fixes within a day (fixesPerDay): it is made when this allows it"
                withheld_fix = replace(fix, state=FixState.WITHHELD, reason=reason)
                connection.execute(insert(fixes), make_row(withheld_fix))
                return None
            connection.execute(insert(fixes), make_row(fix))
            return fix

    def forget_withheld(self, pipeline: str) -> None:
        """Delete the withheld fix of a pipeline, if there is one: nothing asks for it any more."""
        with self._database.read() as connection:
            if _read_first(connection, _WITHHELD_FIX, {"pipeline": pipeline}) is None:
                return
        with self._database.write() as connection:
            lock_name(connection, fixes, pipeline)
            connection.execute(_DELETE_WITHHELD_FIX, {"pipeline": pipeline})

    def find_open_fix(self, pipeline: str) -> Fix | None:
        """The open fix of a pipeline, None without one."""
        with self._database.read() as connection:
            return _read_first(connection, _OPEN_FIX, {"pipeline": pipeline})

    def list_pipelines(self) -> frozenset[str]:
        """The pipelines with an open or a withheld fix."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(_PIPELINES))

    def list(self, pipeline: str, limit: int = 20) -> Sequence[Fix]:
        """The fixes of a pipeline, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(_FIXES, {"pipeline": pipeline, "limit": limit}).mappings()
            return [Fix(**row) for row in rows]

    def set_commit(self, fix: Fix) -> None:
        """Record the commit of a planned fix, before a branch leads to it."""
        self._change(_UPDATE_PLANNED_FIX, fix, ())

    def offer(self, fix: Fix, events: Sequence[NewEvent]) -> bool:
        """Store a fix as it was offered, with its events.

        False if it is not planned any more: nothing changes.
        """
        return self._change(_UPDATE_PLANNED_FIX, fix, events)

    def end(self, fix: Fix, events: Sequence[NewEvent] = ()) -> bool:
        """Store a fix as it ended, with its events. False if it has ended before: nothing changes."""
        return self._change(_UPDATE_OPEN_FIX, fix, events)

    def _change(self, change: Update, fix: Fix, events: Sequence[NewEvent]) -> bool:
        with self._database.write() as connection:
            lock_name(connection, fixes, fix.pipeline)
            if connection.execute(change, {"of_id": fix.id, **make_row(fix)}).rowcount == 0:
                return False
            append_events(connection, events)
            return True

    def purge(self, before: str) -> int:
        """Delete the fixes that ended, or were withheld last, before that time. Returns how many."""
        is_over = or_(fixes.c.ended_at < before, and_(_IS_WITHHELD, fixes.c.created_at < before))
        with self._database.write() as connection:
            return delete_unlocked(connection, fixes, is_over)


def _read_first(connection: Connection, query: Select[Any], values: Mapping[str, str]) -> Fix | None:
    row = connection.execute(query, values).mappings().first()
    return None if row is None else Fix(**row)
