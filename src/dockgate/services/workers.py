"""The workers of this database: what they take, and how to take one out of service."""

from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.services.workflow_starter import Starter, UnservedQueue
from dockgate.shared.errors import ConflictError
from dockgate.store.records import Worker
from dockgate.store.workers import Workers as WorkersTable


@dataclass(frozen=True, slots=True)
class WorkersStatus:
    """All workers, and the queues that none of them takes work from."""

    workers: Sequence[Worker]
    unserved: Sequence[UnservedQueue]


@dataclass(frozen=True, slots=True)
class Workers:
    """Lists, drains and removes workers. `is_shared`: the database can have more than one."""

    table: WorkersTable
    starter: Starter
    is_shared: bool

    def read_status(self) -> WorkersStatus:
        """Return the workers, and the queues that no active worker takes work from."""
        workers = self.table.list()
        return WorkersStatus(workers, self.starter.list_unserved_queues(workers))

    def drain(self, worker_id: str) -> None:
        """Let a worker finish its work, then stop it. NotFoundError if it does not exist."""
        self.table.drain(worker_id)

    def remove(self, worker_id: str) -> None:
        """Stop a worker at once.

        Other workers take over its work once it has stopped or sends no heartbeat. NotFoundError if it does not
        exist, ConflictError where there can be no others.
        """
        if not self.is_shared:
            raise ConflictError("no other worker can take its work", "`dockgate down` stops this server.")
        self.table.end(worker_id)
