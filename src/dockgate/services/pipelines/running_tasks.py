"""The tasks of several services, whose targets are asked at the same time and for a limited time."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import Task, TaskState
from dockgate.shared.errors import DockgateError

# Questions to one target at the same time: for one list, and for all lists.
_QUESTIONS_OF_LIST, _QUESTIONS = 4, 8


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


class RunningTasks:
    """The tasks of services, as their targets report them.

    One that hangs has a few questions at a time and keeps no other target from being asked.
    """

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets
        self._slots: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()

    def list_tasks(self, services: Sequence[tuple[str, str]], patience: float) -> TaskLists:
        """List the tasks of services that are given by name and target.

        A target that does not answer within `patience` seconds is a failure.
        """
        tasks: dict[str, Sequence[Task]] = {}
        failures: dict[str, str] = {}
        is_over = threading.Event()

        def list_target_tasks(target: str, names: SimpleQueue[str]) -> None:
            with self._lock:
                slots = self._slots.setdefault(target, threading.BoundedSemaphore(_QUESTIONS))
            if not slots.acquire(timeout=patience):
                return
            try:
                while not is_over.is_set():
                    name = names.get_nowait()
                    try:
                        tasks[name] = self._targets[target].list_tasks(name)
                    except DockgateError as error:
                        failures[name] = error.full_message
                    except KeyError:
                        failures[name] = f"this server has no target {target}"
            except Empty:
                return
            finally:
                slots.release()

        names_by_target: dict[str, SimpleQueue[str]] = {}
        for name, target in services:
            names_by_target.setdefault(target, SimpleQueue()).put(name)
        threads = [
            threading.Thread(target=list_target_tasks, args=(target, names), daemon=True)
            for target, names in names_by_target.items()
            for _ in range(min(_QUESTIONS_OF_LIST, names.qsize()))
        ]
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
