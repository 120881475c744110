"""The workers: server and worker processes, and whether they live."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update

from dockgate.shared.errors import NotFoundError
from dockgate.store.engine import Database
from dockgate.store.queries import make_row, select_as
from dockgate.store.records import Worker, WorkerState
from dockgate.store.schema.store import workers
from dockgate.store.statements import insert_if_new

_WORKERS = select_as(Worker, workers).order_by(workers.c.node, workers.c.started_at, workers.c.id)


class WorkerTable:
    """The workers table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def own_id(self) -> str:
        """The id of this process.

        SQLite has one server process, and the next one continues its workflows: their ids are the same. On Postgres, an
        id is never used again.
        """
        return self._database.process if self._database.is_shared else "server"

    def add(self, worker: Worker) -> None:
        """Add a worker. One that has the same id is replaced: an earlier process of a single server."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker.id))
            insert_if_new(connection, workers, make_row(worker))

    def record_heartbeat(self, worker_id: str, now: str) -> WorkerState:
        """Count one more heartbeat, and return the worker's state: LOST when it was marked lost or removed."""
        change = (
            update(workers)
            .where(workers.c.id == worker_id, workers.c.state != WorkerState.LOST)
            .values(beats=workers.c.beats + 1, seen_at=now)
            .returning(workers.c.state)
        )
        with self._database.write() as connection:
            return connection.scalar(change) or WorkerState.LOST

    def list(self) -> Sequence[Worker]:
        """All workers, by node and start."""
        with self._database.read() as connection:
            return [Worker(**row) for row in connection.execute(_WORKERS).mappings()]

    def drain(self, worker_id: str) -> None:
        """Tell a worker to take no more work. NotFoundError if it does not exist."""
        self._change(worker_id, WorkerState.DRAINING, WorkerState.ACTIVE)

    def end(self, worker_id: str) -> None:
        """Tell a worker to end at its next heartbeat; it is lost then. NotFoundError if it does not exist."""
        for state in (WorkerState.ACTIVE, WorkerState.DRAINING):
            self._change(worker_id, WorkerState.ENDING, state)

    def mark_lost(self, worker_id: str, beats: int | None = None) -> bool:
        """Mark a worker lost, so that its work goes to others.

        With `beats`, only if it has not counted on since. Returns whether it is lost. NotFoundError if it does not
        exist.
        """
        return self._change(worker_id, WorkerState.LOST, None, beats)

    def remove(self, worker_id: str) -> None:
        """Delete a worker: one that has ended in order, or a lost one whose work others have taken over.

        One that does not exist stays deleted.
        """
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker_id))

    def _change(
        self, worker_id: str, state: WorkerState, only_from: WorkerState | None, beats: int | None = None
    ) -> bool:
        change = update(workers).where(workers.c.id == worker_id).values(state=state)
        if only_from is not None:
            change = change.where(workers.c.state == only_from)
        if beats is not None:
            change = change.where(workers.c.beats == beats)
        with self._database.write() as connection:
            if connection.scalar(select(workers.c.id).where(workers.c.id == worker_id)) is None:
                raise NotFoundError(f"there is no worker {worker_id!r}", "`dockgate worker list` lists them all.")
            return connection.execute(change).rowcount == 1
