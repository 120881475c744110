"""Writes that arrive together and share a transaction, because the disk's time goes into commits."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from copy import copy
from dataclasses import dataclass
from threading import RLock
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

# How long a group of writes waits for a lock, before each of them runs in a transaction of its own.
GROUP_LOCK_MILLISECONDS = 100
# How often a write runs again after a deadlock or a serialization failure.
RETRIES = 5

_LIMIT_LOCK_TIME = text(f"SET LOCAL lock_timeout = {GROUP_LOCK_MILLISECONDS}")

# SQLSTATE: serialization failure, deadlock; and a lock that was not available in time.
_CONFLICTS = ("40001", "40P01")
_LOCK_TIMEOUT = "55P03"

Item = TypeVar("Item")
T = TypeVar("T")

# Writes items within a transaction, as if one after the other, and returns the result of each.
BatchWrite = Callable[[Connection, Sequence[Item]], Sequence[T]]


@dataclass(slots=True, eq=False)
class _Job(Generic[Item, T]):
    """A write that a thread waits for. After its group, which `is_over`, it has a value if it `is_written`.

    `error` is the database's failure, which concerns the whole group. With neither, the write is to run alone.
    """

    write: BatchWrite[Item, T]
    item: Item
    value: T | None = None
    error: Exception | None = None
    is_written: bool = False
    is_over: bool = False


class GroupCommit:
    """The commit of all waiting writes in one transaction.

    `lock` excludes the other writes of this process where the database needs that. With `has_row_locks`, a group waits
    for those of other transactions for a moment only, because all later writes of this process wait for the group.
    """

    def __init__(
        self,
        lock: RLock,
        open_transaction: Callable[[], AbstractContextManager[Connection]],
        *,
        has_row_locks: bool,
    ) -> None:
        self._lock = lock
        self._open_transaction = open_transaction
        self._has_row_locks = has_row_locks
        self._jobs: deque[_Job[Any, Any]] = deque()

    def run(self, write: BatchWrite[Item, T], item: Item) -> T:
        """Call `write` with the items of all callers that wait with it, and return this item's result."""
        job = _Job(write, item)
        self._jobs.append(job)
        try:
            with self._lock:
                if not job.is_over:
                    self._run_jobs()
        except BaseException:  # a signal, perhaps while it waited
            with suppress(ValueError):
                self._jobs.remove(job)
            raise
        if job.error is not None:
            raise job.error
        return cast(T, job.value) if job.is_written else self._run_alone(write, item)

    def count_waiting(self) -> int:
        """The number of writes that wait for their group."""
        return len(self._jobs)

    def _run_jobs(self) -> None:
        """Run all waiting jobs. Only the holder of the lock calls this."""
        jobs = [self._jobs.popleft() for _ in range(len(self._jobs))]
        try:
            self._run_together(jobs)
        finally:
            for job in jobs:
                job.is_over = True

    def _run_together(self, jobs: Sequence[_Job[Any, Any]]) -> None:
        """Run the jobs in one transaction, those of each function at once.

        Nothing has changed, and each is to run alone, when another transaction is in their way, or one of them raises
        an error of its own. Savepoints would keep the others' changes, but cost each job two statements.
        """
        batches: dict[BatchWrite[Any, Any], list[_Job[Any, Any]]] = {}
        for job in jobs:
            batches.setdefault(job.write, []).append(job)
        try:
            with self._open_transaction() as connection:
                if self._has_row_locks:
                    connection.execute(_LIMIT_LOCK_TIME)
                for write, batch in batches.items():
                    values = write(connection, [job.item for job in batch])
                    for job, value in zip(batch, values, strict=True):
                        job.value = value
        except Exception as error:
            is_conflict = _find_sqlstate(error) in (*_CONFLICTS, _LOCK_TIMEOUT)
            is_of_all = len(jobs) == 1 or isinstance(error.__cause__, OperationalError)  # the disk's fault, say
            if is_of_all and not is_conflict:
                for job in jobs:
                    job.error = error if job is jobs[0] else copy(error)  # a caller may add notes to its own
        else:
            for job in jobs:
                job.is_written = True

    def _run_alone(self, write: BatchWrite[Item, T], item: Item) -> T:
        """Run a write in a transaction of its own, and again after conflicts with other transactions."""
        for _ in range(RETRIES):
            try:
                return self._run_once(write, item)
            except Exception as error:
                if _find_sqlstate(error) not in _CONFLICTS:
                    raise
        return self._run_once(write, item)

    def _run_once(self, write: BatchWrite[Item, T], item: Item) -> T:
        with self._open_transaction() as connection:
            [value] = write(connection, [item])
        return value


def call_each(connection: Connection, functions: Sequence[Callable[[Connection], T]]) -> list[T]:
    """Call functions one after the other.

    The batch write of those that have nothing to share but the transaction.
    """
    return [function(connection) for function in functions]


def _find_sqlstate(error: Exception) -> str | None:
    """The SQLSTATE of the error of Postgres that caused a StoreError. None for any other error."""
    cause = error.__cause__
    return getattr(cause.orig, "sqlstate", None) if isinstance(cause, DBAPIError) else None
