"""The tasks of several services, whose targets are asked side by side and for a limited time."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import Task, TaskState
from dockgate.shared.errors import DockgateError

# Targets that are asked at the same time.
_THREADS = 8


@dataclass(frozen=True, slots=True)
class TaskLists:
    """The tasks of services, by name.

    `failures` says why the tasks of a service are unknown that is not in `tasks`.
    """

    tasks: dict[str, Sequence[Task]]
    failures: dict[str, str]

    def count_running(self) -> dict[str, int]:
        """How many tasks run, by the name of each service whose tasks are known."""
        return {
            name: sum(task.state is TaskState.RUNNING for task in tasks) for name, tasks in sorted(self.tasks.items())
        }


def list_tasks(targets: Mapping[str, Target], services: Sequence[tuple[str, str]], patience: float) -> TaskLists:
    """List the tasks of services that are given by name and target.

    A target that does not answer within `patience` seconds is a failure.
    """
    waiting: SimpleQueue[tuple[str, str]] = SimpleQueue()
    for service in services:
        waiting.put(service)
    tasks: dict[str, Sequence[Task]] = {}
    failures: dict[str, str] = {}
    is_over = threading.Event()

    def ask_targets() -> None:
        while not is_over.is_set():
            try:
                name, target = waiting.get_nowait()
            except Empty:
                return
            try:
                tasks[name] = targets[target].list_tasks(name)
            except DockgateError as error:
                failures[name] = error.full_message
            except KeyError:
                failures[name] = f"this server has no target {target}"

    threads = [threading.Thread(target=ask_targets, daemon=True) for _ in range(min(_THREADS, len(services)))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    is_over.set()
    lists = TaskLists(dict(tasks), dict(failures))
    for name, target in services:
        if name not in lists.tasks and name not in lists.failures:
            lists.failures[name] = f"{target} did not answer within {patience:g} s"
    return lists
