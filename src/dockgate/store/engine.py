"""The database behind the tables: SQLite or Postgres, its connections and transactions.

On SQLite, write transactions run one at a time. On Postgres they overlap (READ COMMITTED): what a transaction has read
may change before it commits. So a transaction that reads before it writes does one of these:

- It decides in the write itself: `UPDATE … WHERE state = …` with `rowcount` or `RETURNING`, or `insert_if_new`.
- It locks the row that owns the invariant, with `lock_rows`, and reads after that.
- It locks a name with `lock_name`, where there may be no row yet.

Locks are taken in this order, so that no two transactions wait for each other. Several of one kind are sorted.

1. names (`lock_name`)
2. services, executions, approvals, action runs, scans, waivers and all other rows that are updated
3. documents, which are inserted by digest
4. rows that refer to documents
5. outbox entries
6. events of the event log
"""

import selectors
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import RLock, local
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import (
    URL,
    Connection,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from dockgate.shared.errors import StoreError, UsageError
from dockgate.shared.redaction import redact_url
from dockgate.store.group_commit import BatchWrite, GroupCommit, call_each
from dockgate.store.liveness import PROBE_SECONDS, Liveness, watch_connections

# How long a transaction waits for another process's write on SQLite, and a statement for a lock on Postgres: a session
# that is not ours may keep one for ever, and a request must fail in time. `store.locks` and migrations wait longer.
BUSY_SECONDS = 30
# How long the end of another process's connection is waited for.
END_MILLISECONDS = 1000

# How often a connection runs a statement before it prepares it, which spares Postgres the parsing. The driver's own
# number, 5, is rarely reached when many events arrive after a quiet time.
PREPARE_THRESHOLD = 1

# A server that is gone, or unreachable, is noticed within these times; an idle transaction ends, because a frozen
# process would block the others. The planner is to expect the fleet's tables in memory, where an
# index is worth its random reads, and not to compile queries that end within milliseconds.
POSTGRES_SETTINGS = {
    "connect_timeout": 5,
    "prepare_threshold": PREPARE_THRESHOLD,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c idle_in_transaction_session_timeout=20s -c random_page_cost=1.1 -c jit=off",
}

# Connections that stay open. With fewer, busy threads open one for each transaction, and Postgres starts a process.
POOL_SIZE = 16

Item = TypeVar("Item")
T = TypeVar("T")


class Database:
    """An engine and its transactions. Any number of threads and processes may use one database at once."""

    def __init__(self, url: URL, lock_seconds: float = BUSY_SECONDS) -> None:
        """`lock_seconds` is how long a statement waits for a lock on Postgres, 0 for ever."""
        # For messages: a URL of Postgres may have a password as a parameter, too.
        self.name = str(url) if url.get_backend_name() == "sqlite" else redact_url(str(url))
        # Names this process to Postgres and to the other processes.
        self.process = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:12]}"
        # With its password: for libraries that connect by themselves, never for logs.
        self.url = url.render_as_string(hide_password=False)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # Whether several servers and workers may use it; SQLite has one server process.
        self.is_shared = not self.is_sqlite
        # SQLite waits by sleeping and retrying: without this lock, threads of one process would starve for seconds.
        self._write_lock = RLock()
        self._groups = GroupCommit(self._write_lock, self.write, has_row_locks=self.is_shared)
        self._reading = local()
        self._liveness: Liveness | None = None
        # Arguments for the driver, also of libraries that connect by themselves.
        self.connect_arguments: Mapping[str, Any] = (
            {"timeout": BUSY_SECONDS} if self.is_sqlite else {**POSTGRES_SETTINGS, "application_name": self.process}
        )
        if self.is_sqlite:
            self.engine = create_engine(url, connect_args=dict(self.connect_arguments), max_overflow=-1)
            event.listen(self.engine, "connect", _set_pragmas)
        else:
            self.engine = create_engine(
                url,
                connect_args={
                    **self.connect_arguments,
                    "options": f"{POSTGRES_SETTINGS['options']} -c lock_timeout={int(lock_seconds * 1000)}",
                },
                isolation_level="READ COMMITTED",
                use_native_hstore=False,  # no table has that type, which would be looked up at each start
                pool_size=POOL_SIZE,
                pool_use_lifo=True,  # the connection used last has the most statements prepared and cached
                max_overflow=-1,
            )
            self._liveness = Liveness(self._probe)
            watch_connections(self.engine, self._liveness)
        # Each statement of READ COMMITTED sees what is committed then, in a transaction or not; without one, a query
        # takes one round trip to Postgres instead of three.
        self._reader = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def from_url(cls, url: str, lock_seconds: float = BUSY_SECONDS) -> "Database":
        """Connect to the database of a URL. UsageError for a URL that is neither SQLite nor Postgres."""
        try:
            parsed_url = make_url(url)
            if parsed_url.get_backend_name() not in ("sqlite", "postgresql"):
                raise NoSuchModuleError(f"neither SQLite nor Postgres: {parsed_url.get_backend_name()}")
            if parsed_url.get_backend_name() == "sqlite" and parsed_url.database in (None, "", ":memory:"):
                raise ArgumentError("a SQLite database in memory is lost when the process ends")
            return cls(parsed_url, lock_seconds)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
            raise UsageError(
                f"not a database URL to use: {error}",
                "Write it as postgresql+psycopg://user@host/name, or leave it out.",
            ) from error

    @classmethod
    def from_file(cls, path: Path, *, is_read_only: bool = False) -> "Database":
        """Open a SQLite file. Read-only, it must exist, and its bytes stay as they are."""
        plain = URL.create("sqlite", database=str(path))
        if not is_read_only:
            return cls(plain)
        database = cls(URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}))
        database.name = plain.render_as_string()
        return database

    def _probe(self) -> None:
        """Raise psycopg.Error unless Postgres answers a new connection in time."""
        plain = make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        settings = {**self.connect_arguments, "connect_timeout": PROBE_SECONDS}
        psycopg.connect(plain, **settings).close()

    def require_answers(self) -> None:
        """Raise StoreError while Postgres is known not to answer. Does nothing on SQLite."""
        if self._liveness is not None and self._liveness.is_away:
            raise StoreError(f"the database {self.name} does not answer", "Check that it runs; then retry.")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read by. Within another `read` of this thread it is the same one, which is cheaper.

        On SQLite all of them then see the database as it was at the first: write nothing in between. On Postgres each
        statement sees what is committed.
        """
        connection: Connection | None = getattr(self._reading, "connection", None)
        if connection is not None:
            yield connection
            return
        with self.translate_errors(), self._reader.connect() as connection:
            if self.is_sqlite:
                connection.connection.cursor().execute("BEGIN")  # can fail at the first query only
            self._reading.connection = connection
            try:
                yield connection
            finally:
                self._reading.connection = None

    @contextmanager
    def read_transaction(self) -> Iterator[Connection]:
        """Read like `read`, but in one transaction on Postgres, too.

        For locks, and for results that the server hands out.
        """
        if self.is_sqlite:
            with self.read() as connection:
                yield connection
        else:
            with self.translate_errors(), self.engine.connect() as connection:
                yield connection

    @contextmanager
    def open_autocommit(self) -> Iterator[Connection]:
        """A connection of Postgres whose statements are transactions of their own."""
        with self.translate_errors(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def receive_notifications(self, channel: str, end: socket.socket) -> Iterator[str]:
        """The payloads of Postgres's notifications, until `end` can be read."""
        with self.open_autocommit() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)  # noqa: S101 - for mypy
            try:
                driver.execute(SQL("LISTEN {}").format(Identifier(channel)))
                with selectors.DefaultSelector() as selector:
                    selector.register(driver, selectors.EVENT_READ)
                    selector.register(end, selectors.EVENT_READ)
                    while True:
                        for notification in driver.notifies(timeout=0):
                            yield notification.payload
                        if any(key.fileobj is end for key, _ in selector.select()):
                            return
            except psycopg.OperationalError as error:
                raise StoreError(f"the database {self.name} failed: {error}", "It is retried.") from error
            finally:
                connection.invalidate()

    def read_time(self) -> datetime:
        """The time of the Postgres server."""
        with self.open_autocommit() as connection:
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            return now

    def end_sessions(self, process: str) -> None:
        """End the connections of another process to Postgres, and with them its transactions and locks.

        Returns when they have ended, at the latest after END_MILLISECONDS for each.
        """
        sessions = text(
            f"SELECT pg_terminate_backend(pid, {END_MILLISECONDS}) FROM pg_stat_activity "  # noqa: S608 - a number
            "WHERE application_name = :process AND datname = current_database() AND usename = current_user"
        )
        with self.open_autocommit() as connection:
            connection.execute(sessions, {"process": process})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write, as the module says. Commits at the end, or changes nothing."""
        with self.translate_errors(), self._open_transaction() as connection:
            yield connection

    @contextmanager
    def _open_transaction(self) -> Iterator[Connection]:
        if self.is_sqlite:
            with self._write_lock, self.engine.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        else:
            with self.engine.begin() as connection:
                yield connection

    def group_commit(self, run: Callable[[Connection], T]) -> T:
        """Call `run` in a write transaction shared with other waiting callers, and return its result.

        The disk's time goes into commits, and many callers need only one. The functions run one after another, each as
        if alone: when one raises, only its own changes are undone. `run` opens no transaction itself, and may be called
        again: when one of the group raises or waits too long for a lock, each runs in a transaction of its own.
        """
        return self._groups.run(call_each, run)

    def write_in_batch(self, write: BatchWrite[Item, T], item: Item) -> T:
        """Write an item as `group_commit` does, with all items of the group that have the same `write`.

        So it can use one statement for several items. Their results must be those of one after the other.
        """
        return self._groups.run(write, item)

    def count_waiting_writes(self) -> int:
        """The number of writes that wait for a group."""
        return self._groups.count_waiting()

    def ping(self) -> None:
        """Raise StoreError unless the database answers."""
        with self.read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close all connections; one that a thread still uses as soon as the thread gives it back."""
        event.listen(self.engine, "checkin", _close_connection)
        self.engine.dispose()

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn errors of the database into StoreError, and raise one while Postgres is known not to answer."""
        self.require_answers()
        try:
            yield
        except (IntegrityError, ProgrammingError) as error:
            if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                raise  # our faults, not those of the database
            raise StoreError(
                f"the database {self.name} refused a statement: {error.orig.diag.message_primary}",
                "Have its user own the database and all its tables: `ALTER DATABASE … OWNER TO …`.",
            ) from error
        except DatabaseError as error:
            raise StoreError(
                f"the database {self.name} failed: {error.orig}",
                "Check that it runs, and that its disk has room; then retry.",
            ) from error


def _close_connection(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.close()


def _set_pragmas(connection: Any, _record: object) -> None:
    # Neither the driver nor a listener begins transactions: `Database` does. With a listener to connections SQLAlchemy
    # asks at each statement who listens, which takes as long as a third of the statement.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
