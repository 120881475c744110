"""What is done again and again while a server runs, by threads of its own."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

Sweep = tuple[str, int, Callable[[], None]]
"""its name, every how many turns, what"""

_log = logging.getLogger(__name__)


class Sweeper:
    """A thread for each group of sweeps, which does them one after the other, then pauses: what takes long in one group
    holds up no other. What fails is told in the log, and tried again at its next turn."""

    def __init__(self, pause_seconds: float, groups: Sequence[Sequence[Sweep]]) -> None:
        self._pause_seconds = pause_seconds
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(sweeps,), name=f"sweep {sweeps[0][0]}", daemon=True)
            for sweeps in groups
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def tell_to_end(self) -> None:
        """No sweep begins from now on."""
        self._closing.set()

    def close(self) -> None:
        """Gives what runs a moment, all of it the same one."""
        self.tell_to_end()
        end = time.monotonic() + self._pause_seconds * 2 + 1
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=max(0, end - time.monotonic()))

    def _repeat(self, sweeps: Sequence[Sweep]) -> None:
        turn = 0
        while not self._closing.is_set():
            for name, every, sweep in sweeps:
                if turn % every == 0 and not self._closing.is_set():
                    try:
                        sweep()
                    except Exception as error:
                        _log.warning("sweeping %s failed, and is tried again: %s", name, error, exc_info=error)
            turn += 1
            self._closing.wait(self._pause_seconds)
