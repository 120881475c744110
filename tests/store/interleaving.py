"""Two write transactions of two servers, with the interleaving forced: one stops after a chosen statement."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event, text
from tests.parts import wait_until

from dockgate.store.engine import Database

# What became of a call: its result, or its error.
Outcome = Any
# Statements of the longest transaction that is stopped after each of its statements.
LONGEST = 40
# The first statement of a transaction that writes to SQLite.
BEGIN = "BEGIN IMMEDIATE"


@dataclass(frozen=True)
class Pair:
    """Two calls that meet, of two servers. `check` gets their outcomes once both have ended."""

    first: Callable[[], Any]
    second: Callable[[], Any]
    check: Callable[[Outcome, Outcome], None]


def run_interleaved(databases: tuple[Database, Database], pair: Pair, statement: int) -> bool:
    """Stop the first call after so many statements, run the second until it ends or is blocked, and let both end.

    On SQLite, only the beginnings of transactions count: nothing else is written until a transaction has ended,
    wherever it is stopped. Returns whether the first call has so many statements. Both outcomes are checked in any
    case.
    """
    first, second = databases
    is_stopped, may_go_on = threading.Event(), threading.Event()
    counts: list[None] = []

    def stop(connection: Connection, _cursor: object, command: str, *_: object) -> None:
        if is_stopped.is_set() or (command != BEGIN if first.is_sqlite else _is_autocommit(connection)):
            return
        counts.append(None)
        if len(counts) == statement:
            is_stopped.set()
            assert may_go_on.wait(120)

    event.listen(first.engine, "after_cursor_execute", stop)
    try:
        with ThreadPoolExecutor(2) as pool, _watching(second) as is_blocked:
            earlier = pool.submit(pair.first)
            wait_until(lambda: is_stopped.is_set() or earlier.done(), seconds=60, every=0.005)
            later = pool.submit(pair.second)
            wait_until(lambda: later.done() or is_blocked(), seconds=60, every=0.005)
            may_go_on.set()
            pair.check(_get_outcome(earlier), _get_outcome(later))
    finally:
        may_go_on.set()
        event.remove(first.engine, "after_cursor_execute", stop)
    return is_stopped.is_set()


class _watching:  # noqa: N801 - a context manager
    """Gives a function that says whether a transaction of this database waits for another one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begins: list[str] = []

    def __enter__(self) -> Callable[[], bool]:
        if self._database.is_sqlite:
            event.listen(self._database.engine, "before_cursor_execute", self._note)
        return self._is_blocked

    def __exit__(self, *_: object) -> None:
        if self._database.is_sqlite:
            event.remove(self._database.engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement == BEGIN:
            self._begins.append(statement)

    def _is_blocked(self) -> bool:
        if self._database.is_sqlite:  # it is about to begin, while the stopped one is SQLite's only writer
            return bool(self._begins)
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = :process AND wait_event_type = 'Lock'"
        )
        with self._database.read() as connection:
            return bool(connection.scalar(waiting, {"process": self._database.process}))


def _is_autocommit(connection: Connection) -> bool:
    """Whether it reads only, on Postgres."""
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _get_outcome(future: "Future[Any]") -> Outcome:
    error = future.exception(timeout=120)
    return future.result() if error is None else error


def is_only_error(outcomes: tuple[Outcome, Outcome], kind: type[Exception]) -> bool:
    return [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [kind]
