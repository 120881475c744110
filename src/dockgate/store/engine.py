"""The database behind the tables: SQLite or Postgres, and the only module that knows which.

Write transactions run one at a time. What one has read stays true until it commits, so a read followed by a write needs
no further care, on either database.
"""

import socket
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, Generic, TypeVar, cast

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL, Connection, Executable, Table, create_engine, event, func, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)

from dockgate.shared.errors import StoreError, UsageError

# How long a transaction waits for another process's write.
BUSY_SECONDS = 30

# A server that is gone, or unreachable, is noticed within these times; a transaction that stands still ends, because a
# process that is frozen in it would block the others.
POSTGRES_SETTINGS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c idle_in_transaction_session_timeout=20s",
}

# The lock that all our writers take in Postgres: any number that no other program uses in the database.
_ADVISORY_LOCK = 0x646F636B

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

T = TypeVar("T")


@dataclass(slots=True)
class _Job(Generic[T]):
    """A write that a thread waits for. It has a value or an error once `is_over`."""

    run: Callable[[Connection], T]
    value: T | None = None
    error: BaseException | None = None
    is_over: bool = False


class Database:
    """An engine and its transactions. Any number of threads and processes may use one database at once."""

    def __init__(self, url: URL) -> None:
        self.name = url.render_as_string(hide_password=True)
        # Names this process to Postgres and to the other processes.
        self.process = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:12]}"
        # With its password: for libraries that connect by themselves, never for logs.
        self.url = url.render_as_string(hide_password=False)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # SQLite waits by sleeping and retrying: without this lock, threads of one process would starve for seconds.
        self._write_lock = RLock()
        self._jobs: deque[_Job[Any]] = deque()
        arguments: dict[str, Any] = {"timeout": BUSY_SECONDS}
        if not self.is_sqlite:
            arguments = {**POSTGRES_SETTINGS, "application_name": self.process}
        self.engine = create_engine(url, connect_args=arguments, max_overflow=-1, pool_pre_ping=not self.is_sqlite)
        self._writer = self.engine.execution_options(write=True)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_pragmas)
            event.listen(self.engine, "begin", _begin_transaction)

    @classmethod
    def from_url(cls, url: str) -> "Database":
        """Connect to the database of a URL. UsageError for a URL that is neither SQLite nor Postgres."""
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() not in _INSERT:
                raise NoSuchModuleError(f"neither SQLite nor Postgres: {parsed.get_backend_name()}")
            return cls(parsed)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise UsageError(
                f"not a database URL to use: {error}",
                "Write it as postgresql+psycopg://user@host/name, or leave it out.",
            ) from error

    @classmethod
    def from_file(cls, path: Path) -> "Database":
        """Open a SQLite file."""
        return cls(URL.create("sqlite", database=str(path)))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._translate_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection of Postgres whose statements are transactions of their own."""
        with self._translate_errors(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def notifications(self, channel: str, seconds: float, is_over: Callable[[], bool]) -> Iterator[str]:
        """The payloads of Postgres's notifications, until `is_over`, which is asked every so many seconds."""
        with self.autocommit() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)  # noqa: S101 - for mypy
            try:
                driver.execute(SQL("LISTEN {}").format(Identifier(channel)))
                while not is_over():
                    for notification in driver.notifies(timeout=seconds):
                        yield notification.payload
            except psycopg.OperationalError as error:
                raise StoreError(f"the database {self.name} failed: {error}", "It is retried.") from error
            finally:
                connection.invalidate()

    def end_sessions(self, process: str) -> None:
        """End the connections of another process to Postgres, and with them its transactions and locks."""
        sessions = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = :process AND datname = current_database() AND usename = current_user"
        )
        with self.autocommit() as connection:
            connection.execute(sessions, {"process": process})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that no other write transaction overlaps. Commits at the end, or changes nothing."""
        with self._translate_errors(), self._write_lock, self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            yield connection

    def group_commit(self, run: Callable[[Connection], T]) -> T:
        """Call `run` in a write transaction shared with other waiting callers, and return its result.

        The disk's time goes into commits, and many callers need only one. The functions run one after another, each as
        if alone: when one raises, only its own changes are undone. `run` opens no transaction itself.
        """
        job = _Job(run)
        self._jobs.append(job)
        with self._write_lock:
            if not job.is_over:
                self._run_jobs()
        if job.error is not None:
            raise job.error
        return cast(T, job.value)

    @property
    def queue_length(self) -> int:
        """How many callers wait for a group commit."""
        return len(self._jobs)

    def _run_jobs(self) -> None:
        """Run all waiting jobs. Only the holder of the write lock calls this."""
        jobs = [self._jobs.popleft() for _ in range(len(self._jobs))]
        try:
            with self.write() as connection:
                if len(jobs) == 1:
                    jobs[0].value = jobs[0].run(connection)
                else:
                    for job in jobs:
                        _run(job, connection)
        except BaseException as error:
            for job in jobs:
                job.error = job.error or error
        for job in jobs:
            job.is_over = True

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, ProgrammingError):
            raise  # faults of ours, not of the database
        except DatabaseError as error:
            raise StoreError(
                f"the database {self.name} failed: {error.orig}",
                "Check that it runs, and that its disk has room; then retry.",
            ) from error


def _run(job: _Job[Any], connection: Connection) -> None:
    """Run a job among others. If it raises, only its own changes are undone."""
    try:
        with connection.begin_nested():
            job.value = job.run(connection)
    except OperationalError:
        raise  # the disk's fault, say: it may have ended the transaction for all
    except Exception as error:
        job.error = error


def insert_if_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its primary or unique key exists. Returns whether it did."""
    return connection.execute(_insert_if_new_statement(connection.dialect.name, table), values).first() is not None


@cache
def _insert_if_new_statement(dialect: str, table: Table) -> Executable:
    """The insert statement, cached because making a statement costs more than running it."""
    insert: Executable = _INSERT[dialect](table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return insert


def insert_all_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows whose primary or unique key does not exist."""
    if rows:
        connection.execute(_INSERT[connection.dialect.name](table).on_conflict_do_nothing(), rows)


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # The driver opens no transactions of its own: `_begin_transaction` does.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_transaction(connection: Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
