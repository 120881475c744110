"""The audit log: who did what."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, bindparam, literal_column, update

from dockgate.identity.model import AuditEntry
from dockgate.store.engine import Database
from dockgate.store.queries import count_rows, find_sort_column, make_after_row_conditions, select_as
from dockgate.store.schema.identity import FIRST_REFUSAL, audit
from dockgate.store.statements import insert_if_new

_ENTRY = select_as(AuditEntry, audit)
_CHANGE = update(audit).where(audit.c.id == bindparam("of"))
_DESCRIBE = _CHANGE.values(detail=bindparam("new_detail"))
_FINISH = _CHANGE.where(audit.c.status == 0).values(status=bindparam("new_status"))


class AuditResult(StrEnum):
    """The end of a call."""

    DONE = "Done"
    REFUSED = "Refused"
    NO_ANSWER = "NoAnswer"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The entries of one principal, of one kind of call, with one result; None: of all."""

    by: str | None = None
    call: str | None = None
    result: AuditResult | None = None


EVERYTHING = AuditFilter()
_RESULTS = {
    AuditResult.DONE: audit.c.status.between(1, FIRST_REFUSAL - 1),
    AuditResult.REFUSED: audit.c.status >= literal_column(str(FIRST_REFUSAL)),
    AuditResult.NO_ANSWER: audit.c.status == literal_column("0"),
}


class Audit:
    """The audit log. Rows are never deleted; only their status (once) and their detail change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, entry: AuditEntry) -> None:
        """Add the entry of a call that begins, without its status. Nothing changes if its id exists."""
        with self._database.write() as connection:
            insert_if_new(connection, audit, asdict(entry))

    def describe(self, entry_id: str, detail: str) -> None:
        """Replace the detail of an entry: first the request, later the result."""
        with self._database.write() as connection:
            connection.execute(_DESCRIBE, {"of": entry_id, "new_detail": detail})

    def finish(self, entry_id: str, status: int) -> None:
        """Set the status of an entry. The first status stays."""
        with self._database.write() as connection:
            connection.execute(_FINISH, {"of": entry_id, "new_status": status})

    def list(
        self,
        audit_filter: AuditFilter = EVERYTHING,
        limit: int = 100,
        after: str | None = None,
        *,
        is_newest_first: bool = True,
    ) -> Sequence[AuditEntry]:
        """Entries in the order of their time; `after` is the id of the entry to continue from."""
        order = find_sort_column(audit.c.seq, is_newest_first)
        query = (
            _build_filter(audit_filter)
            .where(*make_after_row_conditions(audit, after, is_newest_first))
            .order_by(order)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]

    def count(self, audit_filter: AuditFilter, limit: int) -> int:
        """The number of entries, at most `limit`."""
        with self._database.read() as connection:
            return count_rows(connection, _build_filter(audit_filter), limit)


def _build_filter(audit_filter: AuditFilter) -> Select[Any]:
    query = _ENTRY
    if audit_filter.by:
        query = query.where(audit.c.who == audit_filter.by)
    if audit_filter.call:
        query = query.where(audit.c.call == audit_filter.call)
    if audit_filter.result is not None:
        query = query.where(_RESULTS[audit_filter.result])
    return query
