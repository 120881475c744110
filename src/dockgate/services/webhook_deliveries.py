"""Sends the answers that are due by callback. Each receiver has a few at a time, so that a slow one holds up nobody."""

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from dockgate.delivery.webhook_delivery import Delivery, headers
from dockgate.services.dependencies import Dependencies, text
from dockgate.services.effects import Effects, Step
from dockgate.shared.errors import DeniedError, DockgateError
from dockgate.shared.retry import DELIVERY

ABREAST = 64
"""calls at the same time; a thread is started when it is needed first"""
ABREAST_EACH = 4
"""of them to one receiver"""
AHEAD, AHEAD_EACH = 1000, 50
"""deliveries that are read at once, and of them to one receiver"""

_log = logging.getLogger(__name__)


class Deliveries:
    """`wake` says that something may be due."""

    def __init__(self, parts: Dependencies, effects: Effects, pause_seconds: float) -> None:
        self._parts = parts
        self._store = parts.store.deliveries
        self._effects = effects
        self._pause_seconds = pause_seconds
        self._news = threading.Event()
        self._closing = False
        self._lock = threading.Lock()
        self._ahead: dict[str, deque[Delivery]] = {}
        self._under_way: dict[str, str] = {}
        self._read_at = 0.0
        self._senders = ThreadPoolExecutor(ABREAST, "callback")
        self._thread = threading.Thread(target=self._work, name="callbacks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._news.set()

    def close(self) -> None:
        """What is being sent is not waited for: it is sent again at the next start."""
        self._closing = True
        self._news.set()
        self._senders.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join(timeout=self._pause_seconds)

    def _work(self) -> None:
        while not self._closing:
            self._news.clear()
            try:
                self._begin()
            except Exception as error:
                _log.warning("callbacks could not be looked for, and are again: %s", error, exc_info=error)
            self._news.wait(self._pause_seconds)

    def _begin(self) -> None:
        """Starts what is due and has room. What was read is used up before more is read, but for a while at most: so
        that one receiver's many do not hide another's."""
        self._submit()
        with self._lock:
            known = {one.id for waiting in self._ahead.values() for one in waiting} | set(self._under_way)
            fresh = time.monotonic() - self._read_at < self._pause_seconds
            if fresh and self._ahead:
                return
        due = self._store.due(self._parts.now(), AHEAD_EACH, AHEAD)
        with self._lock:
            self._read_at = time.monotonic()
            for one in due:
                if one.id not in known:  # what was known before it was read may have been delivered since
                    self._ahead.setdefault(one.receiver, deque()).append(one)
        self._submit()

    def _submit(self) -> None:
        with self._lock:
            busy = Counter(self._under_way.values())
            for receiver in list(self._ahead):
                waiting = self._ahead[receiver]
                while waiting and busy[receiver] < ABREAST_EACH and len(self._under_way) < ABREAST:
                    if self._closing:
                        return
                    one = waiting.popleft()
                    busy[receiver] += 1
                    self._under_way[one.id] = receiver
                    self._senders.submit(self._send, one)
                if not waiting:
                    del self._ahead[receiver]

    def _send(self, one: Delivery) -> None:
        try:
            self._effects.run(Step.DELIVER, self._deliver, one)
        except Exception as error:
            _log.warning("the answer of %s was not delivered: %s", one.approval, error, exc_info=error)
        finally:
            with self._lock:
                del self._under_way[one.id]
            self._news.set()

    def _deliver(self, one: Delivery) -> None:
        clock = self._parts.clock
        way = self._parts.answers.get(urlsplit(one.url).scheme)
        try:
            if way is None:
                self._parts.webhooks.call(one.url, headers(one, clock()), one.body.encode())
            else:
                way.give(one)
        except DockgateError as error:
            following = None
            if not isinstance(error, DeniedError):
                following = DELIVERY.next_attempt(one.id, one.attempts + 1, clock(), one.since)
            self._store.failed(one.id, one.attempts + 1, str(error), text(following) if following else "")
            if following is None:
                _log.warning("the answer of %s is given up: %s", one.approval, error.whole)
        else:
            self._store.delivered(one.id, self._parts.now())
