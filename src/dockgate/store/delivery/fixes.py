"""Fixes that were found for pipelines: at most one of each pipeline is open, and a day has a limit."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, insert, or_, select, update

from dockgate.delivery.fixes import Fix, FixKind, FixState
from dockgate.events.model import NewEvent
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import make_row, select_as
from dockgate.store.schema.delivery import fixes
from dockgate.store.statements import delete_unlocked, lock_name

_FIX = select_as(Fix, fixes)
_IS_WITHHELD = fixes.c.state == FixState.WITHHELD
_OPEN = fixes.c.state.in_([state for state in FixState if state.is_open])


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
            is_of_pipeline = fixes.c.pipeline == fix.pipeline
            connection.execute(delete(fixes).where(is_of_pipeline, _IS_WITHHELD))
            former = _read_first(connection, _FIX.where(fixes.c.id == fix.id))
            if former is not None and (former.state is not FixState.SUPERSEDED or former.execution is not None):
                return None
            if _read_first(connection, _FIX.where(is_of_pipeline, _OPEN)) is not None:
                return None
            if former is not None:
                new_fix = replace(fix, created_at=former.created_at)
                if former.branch in branches:
                    new_fix = replace(former, state=FixState.OFFERED, reason=None, ended_at=None)
                connection.execute(update(fixes).where(fixes.c.id == fix.id).values(**make_row(new_fix)))
                return new_fix if new_fix.state is FixState.PLANNED else None
            recent = fixes.c.created_at > since, fixes.c.created_at <= compute_latest_time(fix.created_at)
            is_by_hand = fixes.c.kind == FixKind.BY_HAND
            alike = is_by_hand if fix.kind is FixKind.BY_HAND else ~is_by_hand
            if len(connection.scalars(select(fixes.c.id).where(is_of_pipeline, alike, *recent)).all()) >= limit:
                reason = f"{limit} of {limit} fixes within a day (fixesPerDay): it is made when this allows it"
                withheld_fix = replace(fix, state=FixState.WITHHELD, reason=reason)
                connection.execute(insert(fixes).values(**make_row(withheld_fix)))
                return None
            connection.execute(insert(fixes).values(**make_row(fix)))
            return fix

    def forget_withheld(self, pipeline: str) -> None:
        """Delete the withheld fix of a pipeline, if there is one: nothing asks for it any more."""
        is_withheld = fixes.c.pipeline == pipeline, _IS_WITHHELD
        with self._database.read() as connection:
            if _read_first(connection, _FIX.where(*is_withheld)) is None:
                return
        with self._database.write() as connection:
            lock_name(connection, fixes, pipeline)
            connection.execute(delete(fixes).where(*is_withheld))

    def find_open_fix(self, pipeline: str) -> Fix | None:
        """The open fix of a pipeline, None without one."""
        with self._database.read() as connection:
            return _read_first(connection, _FIX.where(fixes.c.pipeline == pipeline, _OPEN))

    def list_pipelines(self) -> frozenset[str]:
        """The pipelines with an open or a withheld fix."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(select(fixes.c.pipeline).where(or_(_OPEN, _IS_WITHHELD))))

    def list(self, pipeline: str, limit: int = 20) -> Sequence[Fix]:
        """The fixes of a pipeline, newest first."""
        query = _FIX.where(fixes.c.pipeline == pipeline).order_by(fixes.c.created_at.desc(), fixes.c.id).limit(limit)
        with self._database.read() as connection:
            return [Fix(**row) for row in connection.execute(query).mappings()]

    def set_commit(self, fix: Fix) -> None:
        """Record the commit of a planned fix, before a branch leads to it."""
        self._change(fix, FixState.PLANNED, ())

    def offer(self, fix: Fix, events: Sequence[NewEvent]) -> bool:
        """Store a fix as it was offered, with its events.

        False if it is not planned any more: nothing changes.
        """
        return self._change(fix, FixState.PLANNED, events)

    def end(self, fix: Fix, events: Sequence[NewEvent] = ()) -> bool:
        """Store a fix as it ended, with its events. False if it has ended before: nothing changes."""
        return self._change(fix, None, events)

    def _change(self, fix: Fix, before: FixState | None, events: Sequence[NewEvent]) -> bool:
        has_state = _OPEN if before is None else fixes.c.state == before
        with self._database.write() as connection:
            lock_name(connection, fixes, fix.pipeline)
            if (
                connection.execute(
                    update(fixes).where(fixes.c.id == fix.id, has_state).values(**make_row(fix))
                ).rowcount
                == 0
            ):
                return False
            append_events(connection, events)
            return True

    def purge(self, before: str) -> int:
        """Delete the fixes that ended, or were withheld last, before that time. Returns how many."""
        is_over = or_(fixes.c.ended_at < before, and_(_IS_WITHHELD, fixes.c.created_at < before))
        with self._database.write() as connection:
            return delete_unlocked(connection, fixes, is_over)


def _read_first(connection: Connection, query: Select[Any]) -> Fix | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else Fix(**row)
