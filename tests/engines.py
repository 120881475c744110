"""Engines of SQLAlchemy in tests: they share their compiled statements, and SQLite does not wait for the disk.

Without listeners to SQLAlchemy's connections, which make each statement slower.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Pool, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import ConnectionPoolEntry

_IS_UNSYNCED = "is_unsynced"


class StatementCache(dict[Any, Any]):
    """Compiled statements by their keys, which dialects of one type share."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_share_key(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_share_key(key), value)


_CACHE = StatementCache()


def _share_cache(_dialect: type, engine: Engine) -> None:
    engine.update_execution_options(compiled_cache=_CACHE)


class SharingSQLite(SQLiteDialect_pysqlite):
    """SQLite, for engines with one cache."""

    supports_statement_cache = True
    engine_created: Any = classmethod(_share_cache)


class SharingPostgres(PGDialect_psycopg):
    """Postgres, for engines with one cache."""

    supports_statement_cache = True
    engine_created: Any = classmethod(_share_cache)


def leave_sqlite_unsynced() -> None:
    """Let commits to SQLite in this process not wait for the disk: tests kill processes, but no machine loses power."""
    event.listen(Pool, "checkout", _leave_unsynced)


@contextmanager
def sync_sqlite() -> Iterator[None]:
    """Let SQLite commit to the disk, as in a server: for connections that are made meanwhile."""
    event.remove(Pool, "checkout", _leave_unsynced)
    try:
        yield
    finally:
        leave_sqlite_unsynced()


def share_compiled_statements() -> None:
    """Let all engines of this process have the same cache of compiled statements.

    Each engine compiles a statement when it is first executed. A server has one engine, the tests of a process have
    thousands: a fifth of the processor time of a test with a server was this.
    """
    registry.register("sqlite", __name__, SharingSQLite.__name__)
    registry.register("postgresql.psycopg", __name__, SharingPostgres.__name__)


def _share_key(key: Any) -> Any:
    dialect, *key_parts = key
    return (type(dialect), *key_parts)


def _leave_unsynced(connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
    """When a connection is first used: the product's own settings are made when it is opened."""
    if isinstance(connection, sqlite3.Connection) and _IS_UNSYNCED not in entry.info:
        connection.execute("PRAGMA synchronous = OFF")
        entry.info[_IS_UNSYNCED] = True
