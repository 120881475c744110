"""Signals between the processes of one database, by Postgres's LISTEN and NOTIFY.

A signal may be lost, when a connection breaks. So it only makes something happen sooner that would happen anyway.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from sqlalchemy import func, select

from dockgate.shared.errors import StoreError
from dockgate.store.engine import Database

CHANNEL = "dockgate"
# Postgres allows 8,000 bytes in one notification.
MAX_PAYLOAD = 7000
RECONNECT_SECONDS = 2.0
# How long the end of a listener is waited for that is connecting to the database.
END_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Topic(StrEnum):
    """The subject of a signal."""

    # Approvals that were settled, by their ids.
    APPROVALS = "approvals"
    # A scan was requested.
    SCANS = "scans"
    # Entries of these kinds are due.
    OUTBOX = "outbox"


class Signals:
    """Signals to the other processes, and theirs to this one. On SQLite there are no other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._receivers: dict[Topic, Callable[[Sequence[str]], None]] = {}
        self._is_closing = threading.Event()
        # The listener, and our end of a connection to it: closing it ends the listener.
        self._listener: tuple[threading.Thread, socket.socket] | None = None

    def receive(self, topic: Topic, receiver: Callable[[Sequence[str]], None]) -> None:
        """Call `receiver` with the items of each signal of another process. Called before `start`."""
        self._receivers[topic] = receiver

    def send(self, topic: Topic, items: Sequence[str]) -> None:
        """Send a signal to the other processes. A failure is logged: they will find out by themselves, later."""
        if not self._database.is_shared:
            return
        try:
            with self._database.open_autocommit() as connection:
                for batch in _split_into_batches(items):
                    text = json.dumps({"from": self._database.process, "topic": topic.value, "items": batch})
                    connection.execute(select(func.pg_notify(CHANNEL, text)))
        except StoreError as error:
            _log.warning("a signal was not sent: %s", error)

    def start(self) -> None:
        """Receive signals from now on."""
        if self._database.is_shared:
            our_end, end = socket.socketpair()
            thread = threading.Thread(target=self._listen, args=(end,), name="signals", daemon=True)
            self._listener = thread, our_end
            thread.start()

    def close(self) -> None:
        """Receive no more signals."""
        self._is_closing.set()
        if self._listener is not None:
            thread, our_end = self._listener
            our_end.close()
            thread.join(timeout=END_SECONDS)

    def _listen(self, end: socket.socket) -> None:
        with end:
            while not self._is_closing.is_set():
                try:
                    for payload in self._database.receive_notifications(CHANNEL, end):
                        self._deliver(payload)
                except StoreError as error:
                    _log.warning("cannot receive signals, and connects again: %s", error)
                    self._is_closing.wait(RECONNECT_SECONDS)

    def _deliver(self, payload: str) -> None:
        try:
            signal = json.loads(payload)
            if signal["from"] == self._database.process:
                return
            self._receivers[Topic(signal["topic"])](signal["items"])
        except Exception as error:
            _log.warning("a signal cannot be read: %s", error, exc_info=error)


def _split_into_batches(items: Sequence[str]) -> Iterator[list[str]]:
    """The items in lists that fit into one notification."""
    batch: list[str] = []
    size = 0
    for item in items:
        length = len(json.dumps(item)) + 2
        if batch and size + length > MAX_PAYLOAD:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    yield batch
