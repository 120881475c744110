"""Waivers, their revocation and the announcement of their expiry."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, func, or_, select, update

from dockgate.events.governance_events import make_waiver_added, make_waiver_event, make_waiver_revoked
from dockgate.events.model import NewEvent
from dockgate.gate.model import Waiver
from dockgate.shared.errors import NotFoundError
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import is_one_of, make_text_list
from dockgate.store.records import WaiverRecord
from dockgate.store.schema.gate import waivers
from dockgate.store.statements import insert_if_new, lock_rows

_RECORD = select(
    *(waivers.c[name] for name in ("body", "revoked_at", "revoked_by", "announced_at", "fix_announced_at"))
)
_ACTIVE = _RECORD.where(
    waivers.c.revoked_at.is_(None), or_(waivers.c.until.is_(None), waivers.c.until > bindparam("now"))
).order_by(waivers.c.seq)
_RECORD_WITH_ID = _RECORD.where(waivers.c.id == bindparam("of"))
_RECORDS_NEWEST_FIRST = _RECORD.order_by(waivers.c.seq.desc())
_WAIVERS_WITH_IDS = select(waivers.c.body).where(is_one_of(waivers.c.id, "ids")).order_by(waivers.c.seq)
_UNANNOUNCED_ENDS = (
    select(waivers.c.body)
    .where(waivers.c.until <= bindparam("now"), waivers.c.revoked_at.is_(None), waivers.c.end_announced_at.is_(None))
    .order_by(waivers.c.seq)
)


class Waivers:
    """Waivers. Rows are never deleted. `until` is RFC 3339 in UTC with milliseconds, null for no date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, waiver: Waiver) -> WaiverRecord:
        """Store a waiver. If the id exists, return the stored one unchanged."""
        row = {"id": waiver.id, "body": waiver, "until": waiver.until}
        with self._database.write() as connection:
            if insert_if_new(connection, waivers, row) and waiver.created_at is not None:
                append_events(connection, [make_waiver_added(waiver, waiver.created_at)])
            return _get(connection, waiver.id)

    def get(self, waiver_id: str) -> WaiverRecord:
        """The waiver with this id, revoked or not. Raises NotFoundError."""
        with self._database.read() as connection:
            return _get(connection, waiver_id)

    def list(self) -> Sequence[WaiverRecord]:
        """All waivers, newest first."""
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(_RECORDS_NEWEST_FIRST).mappings()]

    def list_with_ids(self, ids: Collection[str]) -> Sequence[Waiver]:
        """The waivers with these ids, revoked and expired ones too."""
        with self._database.read() as connection:
            return connection.scalars(_WAIVERS_WITH_IDS, {"ids": make_text_list(sorted(ids))}).all()

    def list_active(self, now: str) -> Sequence[WaiverRecord]:
        """The waivers that are neither revoked nor expired, oldest first."""
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(_ACTIVE, {"now": now}).mappings()]

    def revoke(self, waiver_id: str, by: str, now: str) -> WaiverRecord:
        """Revoke a waiver. An earlier revocation keeps its author and time."""
        events = [make_waiver_revoked(self.get(waiver_id).waiver, by, now)]
        return self._write(waiver_id, waivers.c.revoked_at, events, revoked_at=now, revoked_by=by)

    def mark_announced(self, waiver_id: str, now: str, events: Sequence[NewEvent] = ()) -> None:
        """Record that the expiry of a waiver was announced, and append its events. The first time stays."""
        self._write(waiver_id, waivers.c.announced_at, events, announced_at=now)

    def list_unannounced_ends(self, now: str) -> Sequence[Waiver]:
        """The waivers whose date has passed, and whose end was not announced, oldest first.

        Revoked ones do not count.
        """
        with self._database.read() as connection:
            return connection.scalars(_UNANNOUNCED_ENDS, {"now": now}).all()

    def list_ended(self, since: str, now: str) -> Sequence[WaiverRecord]:
        """The waivers that ended, were revoked or got a fix after `since`, the last ones first."""
        ended_at, fixed_at = func.coalesce(waivers.c.revoked_at, waivers.c.until), waivers.c.fix_announced_at
        is_recent = or_(*(and_(time > since, time <= now) for time in (ended_at, fixed_at)))
        query = _RECORD.where(is_recent).order_by(func.coalesce(ended_at, fixed_at).desc(), waivers.c.seq)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def mark_end_announced(self, waiver_id: str, now: str, events: Sequence[NewEvent] = ()) -> None:
        """Record that the end of a waiver was announced, and append its events. The first time stays."""
        self._write(waiver_id, waivers.c.end_announced_at, events, end_announced_at=now)

    def list_unannounced_fixes(self, now: str) -> Sequence[Waiver]:
        """The active waivers that hold until a fix exists, if none was announced."""
        return [
            record.waiver
            for record in self.list_active(now)
            if record.waiver.until_fixed and record.fix_announced_at is None
        ]

    def mark_fix_announced(self, waiver_id: str, now: str, events: Sequence[NewEvent] = ()) -> None:
        """Record that a fix was announced that ends a waiver, and append its events. The first time stays."""
        self._write(waiver_id, waivers.c.fix_announced_at, events, fix_announced_at=now)

    def forget_announcements(self, latest_time: str, now: str, notice_until: str) -> None:
        """Forget what a clock announced that was ahead, later than `latest_time`, and that is not so now.

        Waivers that end after `notice_until` do not expire soon. One that has not ended gets an event that says so.
        """
        is_early = waivers.c.announced_at > latest_time, waivers.c.until > notice_until
        is_not_over = waivers.c.end_announced_at > latest_time, waivers.c.until > now
        is_wrong = waivers.c.revoked_at.is_(None), or_(and_(*is_early), and_(*is_not_over))
        with self._database.read() as connection:
            if connection.scalar(select(waivers.c.id).where(*is_wrong).limit(1)) is None:
                return
        with self._database.write() as connection:
            connection.execute(update(waivers).where(*is_early).values(announced_at=None))
            body_query = select(waivers.c.body).where(*is_not_over, waivers.c.revoked_at.is_(None))
            restored_waivers = connection.scalars(lock_rows(body_query.order_by(waivers.c.seq))).all()
            connection.execute(update(waivers).where(*is_not_over).values(end_announced_at=None))
            append_events(
                connection, [make_waiver_event("waiver.restored", waiver, now) for waiver in restored_waivers]
            )

    def _write(self, waiver_id: str, unless: Any, events: Sequence[NewEvent] = (), **values: str) -> WaiverRecord:
        """Write the values, and append the events, unless the column `unless` is set."""
        change = update(waivers).where(waivers.c.id == waiver_id, unless.is_(None))
        with self._database.write() as connection:
            if connection.execute(change.values(**values)).rowcount:
                append_events(connection, events)
            return _get(connection, waiver_id)


def _get(connection: Connection, waiver_id: str) -> WaiverRecord:
    row = connection.execute(_RECORD_WITH_ID, {"of": waiver_id}).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no waiver {waiver_id!r}", "`dockgate waiver list` lists them all.")
    return _record(row)


def _record(row: RowMapping) -> WaiverRecord:
    times = (row[name] for name in ("revoked_at", "revoked_by", "announced_at", "fix_announced_at"))
    return WaiverRecord(row["body"], *times)
