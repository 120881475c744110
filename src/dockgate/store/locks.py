"""Locks by name, for work that one thread at a time may do, on all servers together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from dockgate.store.engine import Database


class Locks:
    """Named locks. On SQLite, which has one server process, they are locks of this process.

    On Postgres each lock occupies a connection of its own, and ends with it: when the process dies, or when the
    connection breaks. So long work under a lock also needs effects that may be repeated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # One for each name that is in use: names of scans and images would add up for ever.
        self._local: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for the lock, and hold it within the block. It cannot be taken twice by one thread."""
        with self._lock_of(name):
            if not self._database.is_shared:
                yield
                return
            with self._database.autocommit() as connection:
                _wait(connection, name)
                with _unlock_at_end(connection, name):
                    yield

    @contextmanager
    def try_hold(self, name: str) -> Iterator[bool]:
        """Give whether the lock was free. If it was, the block has it."""
        local = self._lock_of(name)
        if not local.acquire(blocking=False):
            yield False
            return
        try:
            if not self._database.is_shared:
                yield True
                return
            with self._database.autocommit() as connection:
                if not connection.scalar(select(func.pg_try_advisory_lock(_key(name)))):
                    yield False
                    return
                with _unlock_at_end(connection, name):
                    yield True
        finally:
            local.release()

    def _lock_of(self, name: str) -> threading.Lock:
        """The lock of this process with this name. The caller keeps a reference while it uses it."""
        with self._guard:
            return self._local.setdefault(name, threading.Lock())


def _wait(connection: Connection, name: str) -> None:
    """Take the lock, however long others keep it: a deploy may take minutes."""
    try:
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(select(func.pg_advisory_lock(_key(name))))
        connection.execute(text("RESET lock_timeout"))
    except BaseException:
        connection.invalidate()  # it must not come back with the lock, or without the limit
        raise


@contextmanager
def _unlock_at_end(connection: Connection, name: str) -> Iterator[None]:
    """Free the lock at the end. Where that fails the connection is closed, which frees it, too."""
    try:
        yield
    finally:
        try:
            connection.execute(select(func.pg_advisory_unlock(_key(name))))
        except DBAPIError:
            connection.invalidate()


def _key(name: str) -> object:
    return func.hashtextextended(name, 0)
