"""Answers that someone waits for come before work that can wait."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds that background work waits for answers, for each image: under steady load it goes on, slowly.
LONGEST_WAIT = 0.5


class AnswerPriority:
    """The number of images whose approvals this process answers; background work waits until it is 0."""

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest_wait = longest_wait
        self._counts_changed = threading.Condition()
        self._answers = 0

    @contextmanager
    def count_answer(self) -> Iterator[None]:
        """Count one image as being answered."""
        with self._counts_changed:
            self._answers += 1
        try:
            yield
        finally:
            with self._counts_changed:
                self._answers -= 1
                self._counts_changed.notify_all()

    def is_answering(self) -> bool:
        """Return whether approvals are being answered."""
        return self._answers > 0

    def give_way(self) -> None:
        """Wait until no approval is being answered, for a moment at most."""
        with self._counts_changed:
            self._counts_changed.wait_for(lambda: not self._answers, self._longest_wait)
