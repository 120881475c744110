"""The queues that a server polls, each in a thread of its own."""

import logging
import threading
from collections.abc import Callable

from dockgate.events.ports import Queue, QueueMessage
from dockgate.shared.errors import describe_error, find_unexpected_error
from dockgate.shared.retry import RetrySchedule

# Before a queue that does not answer is asked again.
RECEIVING = RetrySchedule(first_pause=1, longest_pause=60)
# How long one message may take at the end.
STOP_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Poller:
    """A loop that hands a queue's messages to `take`, one by one, and deletes those that it handled.

    If `take` raises any error, the error is logged and the message stays in the queue, which delivers it again until it
    moves it to its dead-letter queue.
    """

    def __init__(self, queue: Queue, take: Callable[[str], None], schedule: RetrySchedule = RECEIVING) -> None:
        self._queue = queue
        self._take = take
        self._schedule = schedule
        self._closing = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._receive_messages, name=f"queue {queue.name}", daemon=True)

    def start(self) -> None:
        """Start the thread that receives messages, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Take no further message, and return when the current ones are handled.

        A receive call may still be waiting; the messages that it gets are returned to the queue.
        """
        self._closing.set()
        if self._turn.acquire(timeout=STOP_SECONDS):
            self._turn.release()

    def _receive_messages(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                messages = self._queue.receive()
            except Exception as error:
                _log.warning(
                    "cannot receive messages, and tries again: %s",
                    describe_error(error),
                    exc_info=find_unexpected_error(error),
                )
                failures += 1
                self._closing.wait(self._schedule.compute_pause(failures))
                continue
            failures = 0
            for message in messages:
                with self._turn:
                    self._handle_message(message)

    def _handle_message(self, message: QueueMessage) -> None:
        """Handle one message. Its body is not logged, since it may contain a token."""
        name = f"the message {message.id} of {self._queue.name}"
        try:
            if self._closing.is_set():
                self._queue.release(message)
                return
            self._take(message.body)
        except Exception as error:
            _log.warning(
                "%s was not handled and stays in the queue: %s",
                name,
                describe_error(error),
                exc_info=find_unexpected_error(error),
            )
            return
        try:
            self._queue.delete(message)
        except Exception as error:  # it comes again, which does nothing
            _log.warning(
                "%s was handled, but not deleted from the queue: %s",
                name,
                describe_error(error),
                exc_info=find_unexpected_error(error),
            )
