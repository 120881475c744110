"""The reconciler: tasks that are repeated while a server runs, in threads of their own."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.shared.errors import DockgateError, describe_error, find_unexpected_error
from dockgate.store.locks import Locks

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepeatedTask:
    """`run` is called in every n-th round, `interval_rounds`."""

    name: str
    run: Callable[[], object]
    interval_rounds: int = 1


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks that wait for each other. With `is_exclusive`, one server at a time runs them."""

    name: str
    tasks: Sequence[RepeatedTask]
    is_exclusive: bool = True


# Between the starts of two groups, at most; all have started within one pause. All at once would need a database
# connection each, and delay what people wait for.
MAX_STAGGER_SECONDS = 0.1


class Reconciler:
    """A thread for each group of tasks runs them one after the other, then pauses.

    A long task blocks only its own group. Errors are logged, and the task is repeated in its next round.
    """

    def __init__(self, locks: Locks, pause_seconds: float, groups: Sequence[TaskGroup]) -> None:
        self._locks = locks
        self._pause_seconds = pause_seconds
        self._closing = threading.Event()
        stagger_seconds = min(MAX_STAGGER_SECONDS, pause_seconds / max(len(groups), 1))
        self._threads = [
            threading.Thread(
                target=self._repeat, args=(group, number * stagger_seconds), name=f"reconcile {group.name}", daemon=True
            )
            for number, group in enumerate(groups)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop_soon(self) -> None:
        """Begin no further task."""
        self._closing.set()

    def close(self) -> None:
        """Wait a moment for the running tasks, the same moment for all."""
        self.stop_soon()
        end = time.monotonic() + self._pause_seconds * 2 + 1
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=max(0, end - time.monotonic()))

    def _repeat(self, group: TaskGroup, delay_seconds: float) -> None:
        self._closing.wait(delay_seconds)
        round_number = 0
        while not self._closing.is_set():
            try:
                if not group.is_exclusive:
                    self._run(group, round_number)
                else:
                    with self._locks.try_hold(f"reconcile {group.name}") as is_mine:
                        if is_mine:
                            self._run(group, round_number)
            except DockgateError as error:
                _log.warning("reconciling %s is retried: %s", group.name, error)
            round_number += 1
            self._closing.wait(self._pause_seconds)

    def _run(self, group: TaskGroup, round_number: int) -> None:
        for task in group.tasks:
            if round_number % task.interval_rounds == 0 and not self._closing.is_set():
                try:
                    task.run()
                except Exception as error:
                    text = "reconciling %s failed, and will be retried: %s"
                    _log.warning(text, task.name, describe_error(error), exc_info=find_unexpected_error(error))
