"""The reconciler: tasks that are repeated while a server runs, in threads of their own."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepeatedTask:
    """`run` is called in every n-th round, `every`."""

    name: str
    run: Callable[[], object]
    every: int = 1


class Reconciler:
    """A thread for each group of tasks runs them one after the other, then pauses.

    A long task blocks only its own group. Errors are logged, and the task is repeated in its next round.
    """

    def __init__(self, pause_seconds: float, groups: Sequence[Sequence[RepeatedTask]]) -> None:
        self._pause_seconds = pause_seconds
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(tasks,), name=f"reconcile {tasks[0].name}", daemon=True)
            for tasks in groups
        ]

    def start(self) -> None:
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

    def _repeat(self, tasks: Sequence[RepeatedTask]) -> None:
        round_number = 0
        while not self._closing.is_set():
            for task in tasks:
                if round_number % task.every == 0 and not self._closing.is_set():
                    try:
                        task.run()
                    except Exception as error:
                        _log.warning("reconciling %s failed, and will be retried: %s", task.name, error, exc_info=error)
            round_number += 1
            self._closing.wait(self._pause_seconds)
