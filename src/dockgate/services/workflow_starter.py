"""The interface by which services start workflows in the background."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dockgate.delivery.model import ExecutionId
from dockgate.delivery.service_model import Rollout
from dockgate.store.records import Worker


@dataclass(frozen=True, slots=True)
class UnservedQueue:
    """A queue that no active worker takes work from, and how many workflows wait in it.

    `waiting` is null for callers who are limited to some repositories: the workflows are those of all.
    """

    name: str
    waiting: int | None

    @property
    def has_labels(self) -> bool:
        """Return whether it is for workers with labels, which a pipeline names."""
        return "[" in self.name


class Starter(Protocol):
    """A starter of durable work in the background. A second start with the same key does nothing."""

    def continue_execution(self, execution: ExecutionId) -> None:
        """Start the actions that follow from those that have ended."""
        ...

    def start_event(self, event_id: str) -> None:
        """Start the pipelines that a stored event triggers."""
        ...

    def start_rollout(self, rollout: Rollout) -> None:
        """Carry out a stored rollout."""
        ...

    def list_unserved_queues(self, workers: Sequence[Worker]) -> Sequence[UnservedQueue]:
        """The queues that none of these workers takes work from."""
        ...
