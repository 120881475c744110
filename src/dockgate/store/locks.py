"""Locks by name, for work that one thread at a time may do, on all servers together."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from weakref import WeakValueDictionary

from sqlalchemy import Connection, Select, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from dockgate.store.engine import Database

_KEY = func.hashtextextended(bindparam("name"), 0)
_LOCK, _TRY_LOCK = select(func.pg_advisory_lock(_KEY)), select(func.pg_try_advisory_lock(_KEY))
_UNLOCK = select(func.pg_advisory_unlock(_KEY))
_WAIT_WITHOUT_LIMIT, _WAIT_WITH_LIMIT = text("SET lock_timeout = 0"), text("RESET lock_timeout")


class Locks:
    """Named locks. On SQLite, which has one server process, they are locks of this process.

    On Postgres a lock ends with its connection: when the process dies, or when the connection breaks. So long work
    under a lock also needs effects that may be repeated. Waiting for a lock occupies a connection of its own; all locks
    that were taken without waiting share one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # One for each name that is in use: names of scans and images would add up for ever.
        self._local: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()
        self._session = _LockSession(database)

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for the lock, and hold it within the block. It cannot be taken twice by one thread."""
        with self._get_lock(name):
            if not self._database.is_shared:
                yield
                return
            with self._database.open_autocommit() as connection:
                _wait(connection, name)
                with _unlock_at_end(connection, name):
                    yield

    @contextmanager
    def try_hold(self, name: str) -> Iterator[bool]:
        """Give whether the lock was free. If it was, the block has it."""
        local = self._get_lock(name)
        if not local.acquire(blocking=False):
            yield False
            return
        try:
            if not self._database.is_shared:
                yield True
                return
            if not self._session.try_lock(name):
                yield False
                return
            try:
                yield True
            finally:
                self._session.unlock(name)
        finally:
            local.release()

    def _get_lock(self, name: str) -> threading.Lock:
        """The lock of this process with this name. The caller keeps a reference while it uses it."""
        with self._guard:
            return self._local.setdefault(name, threading.Lock())


class _LockSession:
    """The connection to Postgres that has all the locks of this process which nothing had to wait for.

    It is open while there are any. When a statement fails in it, it is closed, and the locks are free. None is sent for
    another lock while Postgres is known not to answer: this session may still work, and keeps what it has.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._names: set[str] = set()
        self._open = ExitStack()
        self._connection: Connection | None = None

    def try_lock(self, name: str) -> bool:
        """Take the lock if it is free, and return whether it was. StoreError if the database does not answer."""
        with self._mutex, self._database.translate_errors():
            is_free = self._call_lock_function(_TRY_LOCK, name)
            if is_free:
                self._names.add(name)
            self._close_if_unused()
            return is_free

    def unlock(self, name: str) -> None:
        """Free the lock. Where that fails the connection is closed, which frees it, too."""
        with self._mutex:
            if name in self._names:
                self._names.remove(name)
                with suppress(DBAPIError):
                    self._call_lock_function(_UNLOCK, name)
            self._close_if_unused()

    def _call_lock_function(self, call: Select[tuple[bool]], name: str) -> bool:
        if self._connection is None:
            self._connection = self._open.enter_context(self._database.open_autocommit())
        try:
            return bool(self._connection.scalar(call, {"name": name}))
        except BaseException:
            self._connection.invalidate()
            self._names.clear()
            self._close_if_unused()
            raise

    def _close_if_unused(self) -> None:
        if not self._names:
            self._open.close()
            self._connection = None


def _wait(connection: Connection, name: str) -> None:
    """Take the lock, however long others keep it: a deploy may take minutes."""
    try:
        connection.execute(_WAIT_WITHOUT_LIMIT)
        connection.execute(_LOCK, {"name": name})
        connection.execute(_WAIT_WITH_LIMIT)
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
            connection.execute(_UNLOCK, {"name": name})
        except DBAPIError:
            connection.invalidate()
