"""The kinds of work that a worker may take or leave to others, and the queues of dbos."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from dockgate.delivery.labels import Labels
from dockgate.shared.errors import UsageError


class WorkKind(StrEnum):
    """A kind of work, as `dockgate worker --queues` names it.

    Builds, deployments and control wait in queues of dbos; scans, deliveries and upkeep are rows that a worker claims.
    """

    BUILD = "build"
    DEPLOY = "deploy"
    CONTROL = "control"
    SCAN = "scan"
    DELIVER = "deliver"
    UPKEEP = "upkeep"


class Workflow(StrEnum):
    """The name of a workflow."""

    HANDLE_EVENT = "handle-event"
    RUN_ACTION = "run-action"
    BUILD = "build"
    DEPLOY = "deploy"
    ROLL_OUT = "roll-out"


# RUN_ACTION runs what takes a moment: sources, and requests for approval.
WORK_KIND_OF: Mapping[Workflow, WorkKind] = {
    Workflow.HANDLE_EVENT: WorkKind.CONTROL,
    Workflow.RUN_ACTION: WorkKind.CONTROL,
    Workflow.BUILD: WorkKind.BUILD,
    Workflow.DEPLOY: WorkKind.DEPLOY,
    Workflow.ROLL_OUT: WorkKind.DEPLOY,
}
# Workflows of one queue that run at the same time in one process.
SLOTS: Mapping[WorkKind, int] = {WorkKind.BUILD: 4, WorkKind.DEPLOY: 8, WorkKind.CONTROL: 32}
# How often a queue of dbos is read, in seconds. Work that starts where it was requested does not wait for this.
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSelector:
    """The workers at which a workflow may run: those that take `queue` and have all `labels`."""

    queue: WorkKind
    labels: Labels

    @property
    def name(self) -> str:
        """The name of the queue in dbos, such as "build" or "build[arch=arm64]"."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
        return f"{self.queue}[{labels}]" if labels else self.queue.value


def list_dbos_queues(queues: Iterable[str], labels: Labels) -> Iterator[WorkerSelector]:
    """The queues of dbos that a worker with these labels listens to. Only builds ask for labels."""
    for queue in SLOTS:
        if queue in queues:
            for count in range(len(labels) + 1 if queue is WorkKind.BUILD else 1):
                for label_pairs in combinations(sorted(labels.items()), count):
                    yield WorkerSelector(queue, dict(label_pairs))


def parse_queues(text: str) -> tuple[str, ...]:
    """Return the queues of a list such as "build,scan". UsageError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in list(WorkKind)]
    if unknown or not names:
        raise UsageError(f"unknown queue: {', '.join(unknown) or repr(text)}", f"Known: {', '.join(WorkKind)}.")
    return names
