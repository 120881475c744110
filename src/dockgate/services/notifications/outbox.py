"""Send the entries of the outbox.

Each kind has a pool of worker threads, which sends a few entries at a time to each receiver.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.shared.errors import DockgateError, describe_error, find_unexpected_error
from dockgate.shared.retry import OUTBOX_RETRIES
from dockgate.shared.timestamps import format_time
from dockgate.store.events.outbox import Outbox
from dockgate.store.records import OutboxEntry, OutboxKind

# Threads of one pool; each starts when it is needed first.
POOL_LIMIT = 64

_log = logging.getLogger(__name__)


class UndeliverableError(Exception):
    """The entry becomes a dead letter: the receiver never accepts it, or it must not be sent."""


class OutboxHandler(Protocol):
    """A sender of the entries of one kind.

    `receiver_limit` is how many are sent to one receiver at the same time; `effect` is the kind of effect. Entries that
    are not answers (`is_answer`) give way to answers.
    """

    kind: OutboxKind
    effect: EffectKind
    receiver_limit: int
    is_answer: bool = False

    def send(self, entry: OutboxEntry) -> str | None:
        """Send the entry, and return what is kept of the result.

        The same entry may be sent again after a crash. UndeliverableError gives the entry up. After any other error it
        is sent again later (`retry.OUTBOX_RETRIES`).
        """
        ...


class OutboxWorker:
    """The background work that sends entries until they are done or dead-lettered.

    Entries without a handler wait.
    """

    def __init__(
        self,
        outbox: Outbox,
        handlers: Sequence[OutboxHandler],
        effects: Effects,
        clock: Callable[[], datetime],
        owner: str,
        pause_seconds: float,
        answer_priority: AnswerPriority,
    ) -> None:
        """`owner` claims the entries: no other process that runs has this name.

        `pause_seconds` is how often the outbox is read when nothing wakes the worker.
        """
        self._outbox = outbox
        self._owner = owner
        self._pools = {
            handler.kind: _SenderPool(outbox, handler, effects, clock, owner, pause_seconds, answer_priority)
            for handler in handlers
        }
        outbox.watch(self.wake)

    def start(self) -> None:
        """Start sending, first what an earlier process of this name did not end."""
        self._outbox.release(self._owner)
        for pool in self._pools.values():
            pool.thread.start()

    def wake(self, kind: OutboxKind) -> None:
        """Send new entries of this kind at once."""
        if kind in self._pools:
            self._pools[kind].wakeup.set()

    def close(self) -> None:
        """Stop. Entries that are being sent are not waited for: others may send them again."""
        for pool in self._pools.values():
            pool.stop()
        for pool in self._pools.values():
            if pool.thread.is_alive():
                pool.thread.join(timeout=pool.pause_seconds)
        try:
            self._outbox.release(self._owner)
        except DockgateError as error:
            _log.warning("the claims on the outbox were not released: %s", error)


@dataclass(eq=False)
class _SenderPool:
    """The senders of one kind of entry: a thread that claims them, and a pool that sends."""

    outbox: Outbox
    handler: OutboxHandler
    effects: Effects
    clock: Callable[[], datetime]
    owner: str
    pause_seconds: float
    answer_priority: AnswerPriority

    def __post_init__(self) -> None:
        self.wakeup = threading.Event()
        self._is_stopping = False
        self._lock = threading.Lock()
        self._active_count = 0
        self._unstored_entries: list[OutboxEntry] = []
        self._pool = ThreadPoolExecutor(POOL_LIMIT, f"outbox {self.handler.kind}")
        self.thread = threading.Thread(
            target=self._claim_until_stopped, name=f"outbox {self.handler.kind}", daemon=True
        )

    def stop(self) -> None:
        self._is_stopping = True
        self.wakeup.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _claim_until_stopped(self) -> None:
        while True:
            self.wakeup.clear()
            if self._is_stopping:  # looked at after `clear`, which may have cleared what `stop` set
                return
            if not self.handler.is_answer:
                self.answer_priority.give_way()
            try:
                self._claim()
            except Exception as error:
                _log.warning(
                    "reading the outbox failed and is retried: %s",
                    describe_error(error),
                    exc_info=find_unexpected_error(error),
                )
            self.wakeup.wait(self.pause_seconds)

    def _claim(self) -> None:
        """Claim what may be sent now, and send it."""
        free_slots = POOL_LIMIT - self._active_count
        if free_slots == 0:
            return
        self._give_back_unstored()
        kind, receiver_limit = self.handler.kind, self.handler.receiver_limit
        for entry in self.outbox.claim(kind, format_time(self.clock()), self.owner, receiver_limit, free_slots):
            if self._is_stopping:
                self.outbox.give_back(entry)
                continue
            with self._lock:
                self._active_count += 1
            self._pool.submit(self._run, entry)

    def _give_back_unstored(self) -> None:
        """Release entries whose result was not stored, so that they are sent again."""
        while self._unstored_entries:
            self.outbox.give_back(self._unstored_entries[0])
            with self._lock:
                self._unstored_entries.pop(0)

    def _run(self, entry: OutboxEntry) -> None:
        try:
            self.effects.run(self.handler.effect, self._send, entry)
        except Exception as error:
            text = "The result of sending %s was not stored: %s"
            _log.warning(text, _describe_entry(entry), describe_error(error), exc_info=find_unexpected_error(error))
            with self._lock:
                self._unstored_entries.append(entry)
        finally:
            with self._lock:
                self._active_count -= 1
            self.wakeup.set()

    def _send(self, entry: OutboxEntry) -> None:
        try:
            result = self.handler.send(entry)
        except UndeliverableError as error:
            self.outbox.fail(entry, str(error), None)
            _log.warning("gave up %s: %s", _describe_entry(entry), error)
        except DockgateError as error:
            self._retry(entry, error.full_message)
        except Exception as error:
            _log.warning("sending %s failed with an internal error", _describe_entry(entry), exc_info=error)
            self._retry(entry, f"{type(error).__name__}: {error}")
        else:
            self.outbox.complete(entry, format_time(self.clock()), result)

    def _retry(self, entry: OutboxEntry, error: str) -> None:
        next_attempt = OUTBOX_RETRIES.compute_next_attempt(
            entry.key, entry.attempts + 1, self.clock(), since=entry.due_since
        )
        if next_attempt is None:
            self.outbox.fail(entry, error, None)
            _log.error("gave up %s after %d attempts: %s", _describe_entry(entry), entry.attempts + 1, error)
        else:
            self.outbox.fail(entry, error, format_time(next_attempt))
            _log.warning(
                "sending %s failed, next attempt at %s: %s", _describe_entry(entry), format_time(next_attempt), error
            )


def _describe_entry(entry: OutboxEntry) -> str:
    """Return the entry in log messages."""
    return f"the {entry.kind} {entry.key} to {entry.receiver}"
