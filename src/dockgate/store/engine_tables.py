"""The durable engine's own table of workflows (dbos 3.4), which lies in our database.

dbos has no public call for what is done here. `tests/workflows/test_engine.py` holds what is relied on.
"""

from sqlalchemy import bindparam, text

from dockgate.store.engine import Database


class EngineTables:
    """The rows of dbos's workflow_status."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"

    def requeue(self, workflow: str, queue: str, version: str, executor: str | None) -> bool:
        """Put an unfinished workflow into a queue, for workers of this version.

        Returns whether it was unfinished. A PENDING workflow begins again there: its finished steps are not repeated.
        Only one of this executor is put back, so that a second call, or one that comes late, does not take it from a
        process that runs it again.
        """
        change = text(
            f"UPDATE {self._table} SET status = 'ENQUEUED', queue_name = :queue, application_version = :version, "  # noqa: S608
            "owner_xid = NULL, started_at_epoch_ms = NULL WHERE workflow_uuid = :workflow AND "
            "(status = 'ENQUEUED' OR (status = 'PENDING' AND executor_id = :executor))"
        ).bindparams(bindparam("executor", executor or ""))
        with self._database.write() as connection:
            values = {"workflow": workflow, "queue": queue, "version": version}
            return connection.execute(change, values).rowcount == 1

    def find_oldest_begin(self) -> float | None:
        """Return when the oldest running workflow was created, in seconds since 1970, or None."""
        query = text(
            f"SELECT min(created_at) FROM {self._table} "  # noqa: S608
            "WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED') AND recovery_attempts > 0"
        )
        with self._database.read() as connection:
            milliseconds = connection.scalar(query)
        return None if milliseconds is None else milliseconds / 1000
