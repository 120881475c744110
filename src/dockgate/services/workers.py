"""The workers of this database: what they take, and how to take one out of service."""

from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.delivery.labels import Labels
from dockgate.services.workflow_starter import Starter, UnservedQueue
from dockgate.shared.errors import ConflictError
from dockgate.store.records import Worker, WorkerState
from dockgate.store.workers import WorkerTable


@dataclass(frozen=True, slots=True)
class WorkersStatus:
    """All workers, and the queues that none of them takes work from."""

    workers: Sequence[Worker]
    unserved: Sequence[UnservedQueue]


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers: their list, drain and removal. `is_shared`: the database can have more than one."""

    table: WorkerTable
    starter: Starter
    is_shared: bool

    def read_status(self) -> WorkersStatus:
        """Return the workers, and the queues that no active worker takes work from."""
        workers = self.table.list()
        return WorkersStatus(workers, self.starter.list_unserved_queues(workers))

    def describe_wait(self, labels: Labels) -> str | None:
        """Say that no worker takes builds with these labels. None if there are none, or a worker has them all."""
        if not labels:
            return None
        for worker in self.table.list():
            is_alive = worker.state in (WorkerState.ACTIVE, WorkerState.DRAINING)
            if is_alive and "build" in worker.queues and labels.items() <= worker.labels.items():
                return None
        label_list = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return f"waits for a worker with {label_list}: no worker has these labels (`dockgate worker list`)"

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
