"""The policies that judge the images of each repository."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from dockgate.events.governance_events import make_assignment_changed
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.records import AssignmentChange, AssignmentRecord
from dockgate.store.schema.gate import policy_assignment_changes as changes
from dockgate.store.schema.gate import policy_assignments as table
from dockgate.store.statements import lock_name

_ALL_ASSIGNMENTS = select(table).order_by(table.c.name)
_ASSIGNMENT_OF_NAME = select(table).where(table.c.name == bindparam("of"))
_REMOVE_ASSIGNMENT = delete(table).where(table.c.name == bindparam("of"))
_ADD_ASSIGNMENT = insert(table)
_RECORD_CHANGE = insert(changes).returning(changes.c.seq)


class PolicyAssignments:
    """The policies that judge the images of each repository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, assignment: PolicyAssignment, by: str, now: str) -> AssignmentRecord:
        """Store or replace the assignment of this name. An equal assignment keeps its author and time."""
        with self._database.write() as connection:
            lock_name(connection, table, assignment.name)
            row = connection.execute(_ASSIGNMENT_OF_NAME, {"of": assignment.name}).first()
            if row is not None and row.body == assignment:
                return AssignmentRecord(row.body, row.changed_at, row.changed_by)
            connection.execute(_REMOVE_ASSIGNMENT, {"of": assignment.name})
            values = {"name": assignment.name, "body": assignment, "changed_at": now, "changed_by": by}
            connection.execute(_ADD_ASSIGNMENT, values)
            _record_change(connection, assignment.name, assignment, by, now)
            return AssignmentRecord(assignment, now, by)

    def list(self) -> Sequence[AssignmentRecord]:
        """All assignments, sorted by name."""
        with self._database.read() as connection:
            rows = connection.execute(_ALL_ASSIGNMENTS).all()
        return [AssignmentRecord(row.body, row.changed_at, row.changed_by) for row in rows]

    def list_changes(self) -> Sequence[AssignmentChange]:
        """All changes of assignments, in their order."""
        with self._database.read() as connection:
            rows = connection.execute(select(changes).order_by(changes.c.seq)).all()
        return [AssignmentChange(row.name, row.body, row.changed_at, row.changed_by) for row in rows]

    def remove(self, name: str, by: str, now: str) -> None:
        """Remove an assignment. Does nothing if it does not exist."""
        with self._database.write() as connection:
            lock_name(connection, table, name)
            if connection.execute(_REMOVE_ASSIGNMENT, {"of": name}).rowcount:
                _record_change(connection, name, None, by, now)


def _record_change(connection: Connection, name: str, assignment: PolicyAssignment | None, by: str, now: str) -> None:
    change = {"name": name, "body": assignment, "changed_at": now, "changed_by": by}
    number = connection.execute(_RECORD_CHANGE, change).scalar_one()
    append_events(connection, [make_assignment_changed(name, assignment, number, by, now)])
