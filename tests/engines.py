"""Engines of SQLAlchemy in tests: they share their compiled statements, and SQLite does not wait for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

_IS_UNSYNCED = "is_unsynced"


class StatementCache(dict[Any, Any]):
    """Compiled statements by their keys, which dialects of one type share."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_share_key(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_share_key(key), value)


def leave_sqlite_unsynced() -> None:
    """Let commits to SQLite in this process not wait for the disk: tests kill processes, but no machine loses power."""
    event.listen(Engine, "engine_connect", _leave_unsynced)


@contextmanager
def sync_sqlite() -> Iterator[None]:
    """Let SQLite commit to the disk, as in a server: for connections that are made meanwhile."""
    event.remove(Engine, "engine_connect", _leave_unsynced)
    try:
        yield
    finally:
        leave_sqlite_unsynced()


def share_compiled_statements() -> None:
    """Let all engines of this process have the same cache of compiled statements.

    Each engine compiles a statement when it is first executed. A server has one engine, the tests of a process have
    thousands: a fifth of the processor time of a test with a server was this.
    """
    cache = StatementCache()

    def use_cache(connection: Connection) -> None:
        connection.execution_options(compiled_cache=cache)

    event.listen(Engine, "engine_connect", use_cache)


def _share_key(key: Any) -> Any:
    dialect, *key_parts = key
    return (type(dialect), *key_parts)


def _leave_unsynced(connection: Connection) -> None:
    """When a connection is first used: the product's own settings are made when it is opened."""
    connection_info = connection.connection.info
    if connection.dialect.name == "sqlite" and _IS_UNSYNCED not in connection_info:
        connection.connection.cursor().execute("PRAGMA synchronous = OFF")
        connection_info[_IS_UNSYNCED] = True
