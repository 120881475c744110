"""The database behind the tables, and the only place that knows which one it is.

One promise carries the rest: a `write` transaction is alone. What it has read stays true until it commits, so every
read-then-write below is plain code, and the same plain code on SQLite and Postgres.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import URL, Connection, Executable, Table, create_engine, event, func, make_url, select
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

BUSY_SECONDS = 30
"""how long a transaction waits for another process's write"""

_ADVISORY_LOCK = 0x646F636B
"""the number Postgres's writers agree on; any will do that nobody else in the database uses"""

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

T = TypeVar("T")


@dataclass(slots=True)
class _Job(Generic[T]):
    """What somebody waits to have written. `value` is there, or `error` is, once `over`."""

    run: Callable[[Connection], T]
    value: T | None = None
    error: BaseException | None = None
    over: bool = False


class Database:
    """An engine and its transactions. Any number of threads and processes may use one database at once."""

    def __init__(self, url: URL) -> None:
        self.name = url.render_as_string(hide_password=True)
        self._lite = url.get_backend_name() == "sqlite"
        # SQLite's own waiting is a sleep and a retry: threads of one process would overtake each other for seconds.
        self._turn = RLock()
        self._jobs: deque[_Job[Any]] = deque()
        arguments = {"timeout": BUSY_SECONDS} if self._lite else {}
        self.engine = create_engine(url, connect_args=arguments, max_overflow=-1, pool_pre_ping=not self._lite)
        self._writer = self.engine.execution_options(write=True)
        if self._lite:
            event.listen(self.engine, "connect", _prepare)
            event.listen(self.engine, "begin", _begin)

    @classmethod
    def at(cls, url: str) -> "Database":
        """UsageError for a URL that names no database we can use."""
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
    def file(cls, path: Path) -> "Database":
        return cls(URL.create("sqlite", database=str(path)))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._told(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is alone among its kind. Commits at the end, or nothing of it happened."""
        with self._told(), self._turn, self._writer.begin() as connection:
            if not self._lite:
                connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            yield connection

    def group_commit(self, run: Callable[[Connection], T]) -> T:
        """What `run` returns, called in a write transaction that it may share with others that come while somebody
        writes: the disk's time goes into commits, and so many need but one.

        They run one after another, each as if alone: when one raises, nothing of it happened and the others stand.
        `run` opens no transaction of its own.
        """
        job = _Job(run)
        self._jobs.append(job)
        with self._turn:
            if not job.over:
                self._run_jobs()
        if job.error is not None:
            raise job.error
        return cast(T, job.value)

    @property
    def waiting(self) -> int:
        """How many wait to be written together."""
        return len(self._jobs)

    def _run_jobs(self) -> None:
        """All that wait; only who has the turn takes them."""
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
            job.over = True

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
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
    """Among others: what it raises is undone alone."""
    try:
        with connection.begin_nested():
            job.value = job.run(connection)
    except OperationalError:
        raise  # the disk's fault, say: it may have ended the transaction for all
    except Exception as error:
        job.error = error


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts the row unless one with such a unique key stands there already; says whether it did."""
    return connection.execute(_insert_new(connection.dialect.name, table), values).first() is not None


@cache
def _insert_new(dialect: str, table: Table) -> Executable:
    """Made once: a statement costs more to make than to run."""
    insert: Executable = _INSERT[dialect](table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return insert


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts those rows for which none with such a unique key stands there already."""
    if rows:
        connection.execute(_INSERT[connection.dialect.name](table).on_conflict_do_nothing(), rows)


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # The driver opens no transactions of its own: `_begin` does.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
