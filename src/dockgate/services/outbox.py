"""Send what the outbox holds: each kind in a lane of its own, a few entries at a time to each receiver."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dockgate.services.effects import EffectKind, Effects
from dockgate.shared.errors import DockgateError
from dockgate.shared.retry import DELIVERY
from dockgate.shared.timestamps import format_time
from dockgate.store.outbox import Outbox
from dockgate.store.records import OutboxEntry, OutboxKind

# Calls at the same time in one lane; a thread starts when it is needed first.
LANE_LIMIT = 64
# Entries that are read at once, of all receivers and of one.
READ_LIMIT, RECEIVER_READ_LIMIT = 1000, 50

_log = logging.getLogger(__name__)


class UndeliverableError(Exception):
    """The receiver refuses the entry for good, or it must not be sent: another attempt is useless."""


class OutboxHandler(Protocol):
    """Sends the entries of one kind.

    `receiver_limit` is how many are sent to one receiver at the same time; `step` names the effect.
    """

    kind: OutboxKind
    step: EffectKind
    receiver_limit: int

    def send(self, entry: OutboxEntry) -> str | None:
        """Send the entry, and return what is kept of the result. The same entry may be sent again after a crash.

        UndeliverableError gives the entry up. After any other error it is sent again later (`retry.DELIVERY`).
        """
        ...


class OutboxWorker:
    """Sends entries in the background, until they are done or given up. Entries without a handler wait."""

    def __init__(
        self,
        outbox: Outbox,
        handlers: Sequence[OutboxHandler],
        effects: Effects,
        clock: Callable[[], datetime],
        pause_seconds: float,
    ) -> None:
        """`pause_seconds` is how often the outbox is read when nothing wakes the worker."""
        self._lanes = {handler.kind: _Lane(outbox, handler, effects, clock, pause_seconds) for handler in handlers}
        outbox.watch(self.wake)

    def start(self) -> None:
        for lane in self._lanes.values():
            lane.thread.start()

    def wake(self, kind: OutboxKind) -> None:
        """Send new entries of this kind at once."""
        if kind in self._lanes:
            self._lanes[kind].wakeup.set()

    def close(self) -> None:
        """Stop. Entries that are being sent are not waited for: they are sent again after the next start."""
        for lane in self._lanes.values():
            lane.stop()
        for lane in self._lanes.values():
            if lane.thread.is_alive():
                lane.thread.join(timeout=lane.pause_seconds)


@dataclass(eq=False)
class _Lane:
    """Sends the entries of one kind: a thread that reads the outbox, and a pool that sends."""

    outbox: Outbox
    handler: OutboxHandler
    effects: Effects
    clock: Callable[[], datetime]
    pause_seconds: float

    def __post_init__(self) -> None:
        self.wakeup = threading.Event()
        self._is_stopping = False
        self._lock = threading.Lock()
        # Entries that were read and are not yet being sent, by receiver.
        self._queues: dict[str, deque[OutboxEntry]] = {}
        # Key and receiver of the entries that are being sent.
        self._active: set[tuple[str, str]] = set()
        self._read_at = 0.0
        self._pool = ThreadPoolExecutor(LANE_LIMIT, f"outbox {self.handler.kind}")
        self.thread = threading.Thread(target=self._work, name=f"outbox {self.handler.kind}", daemon=True)

    def stop(self) -> None:
        self._is_stopping = True
        self.wakeup.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> None:
        while not self._is_stopping:
            self.wakeup.clear()
            try:
                self._advance()
            except Exception as error:
                _log.warning("Reading the outbox failed and is retried: %s", error, exc_info=error)
            self.wakeup.wait(self.pause_seconds)

    def _advance(self) -> None:
        """Send what may be sent now.

        Entries that were read are used up before more are read, but for `pause_seconds` at most: so the many entries
        of one receiver do not hide those of another.
        """
        self._submit()
        with self._lock:
            submitted = {
                (entry.key, entry.receiver) for queue in self._queues.values() for entry in queue
            } | self._active
            is_fresh = time.monotonic() - self._read_at < self.pause_seconds
            if is_fresh and self._queues:
                return
        due = self.outbox.due(self.handler.kind, format_time(self.clock()), RECEIVER_READ_LIMIT, READ_LIMIT)
        with self._lock:
            self._read_at = time.monotonic()
            for entry in due:
                # An entry that was active before the read may have been sent meanwhile.
                if (entry.key, entry.receiver) not in submitted:
                    self._queues.setdefault(entry.receiver, deque()).append(entry)
        self._submit()

    def _submit(self) -> None:
        with self._lock:
            busy = Counter(receiver for _, receiver in self._active)
            for receiver in list(self._queues):
                queue = self._queues[receiver]
                while queue and busy[receiver] < self.handler.receiver_limit and len(self._active) < LANE_LIMIT:
                    if self._is_stopping:
                        return
                    entry = queue.popleft()
                    busy[receiver] += 1
                    self._active.add((entry.key, receiver))
                    self._pool.submit(self._run, entry)
                if not queue:
                    del self._queues[receiver]

    def _run(self, entry: OutboxEntry) -> None:
        try:
            self.effects.run(self.handler.step, self._send, entry)
        except Exception as error:
            _log.warning("The result of sending %s was not stored: %s", _label(entry), error, exc_info=error)
        finally:
            with self._lock:
                self._active.discard((entry.key, entry.receiver))
            self.wakeup.set()

    def _send(self, entry: OutboxEntry) -> None:
        try:
            result = self.handler.send(entry)
        except UndeliverableError as error:
            self.outbox.fail(entry, str(error), None)
            _log.warning("Gave up %s: %s", _label(entry), error)
        except DockgateError as error:
            self._retry(entry, error.full_message)
        except Exception as error:
            _log.warning("Sending %s failed with an internal error", _label(entry), exc_info=error)
            self._retry(entry, f"{type(error).__name__}: {error}")
        else:
            self.outbox.complete(entry, format_time(self.clock()), result)

    def _retry(self, entry: OutboxEntry, error: str) -> None:
        following = DELIVERY.next_attempt(entry.key, entry.attempts + 1, self.clock(), since=entry.due_since)
        if following is None:
            self.outbox.fail(entry, error, None)
            _log.error("Gave up %s after %d attempts: %s", _label(entry), entry.attempts + 1, error)
        else:
            self.outbox.fail(entry, error, format_time(following))
            _log.warning("Sending %s failed, next attempt at %s: %s", _label(entry), format_time(following), error)


def _label(entry: OutboxEntry) -> str:
    """The entry in log messages."""
    return f"the {entry.kind} {entry.key} to {entry.receiver}"
