"""Group commits: several writes share a transaction, and each fails alone."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from dockgate.shared.errors import StoreError
from dockgate.store import open_store
from dockgate.store.engine import Database

WRITERS = 8


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(open_store(tmp_path)) as store:
        with store.database.write() as connection:
            connection.execute(text("CREATE TABLE written (number INTEGER PRIMARY KEY)"))
        yield store.database


def make_insert(number: int) -> Callable[[Connection], int]:
    def write(connection: Connection) -> int:
        connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})
        return number

    return write


def list_numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(text("SELECT number FROM written ORDER BY number")))


@contextmanager
def wait_behind_write(database: Database) -> Iterator[None]:
    """What is to be written inside comes while a transaction is open, and all of it waits when that ends."""
    has_begun, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with database.write():
            has_begun.set()
            may_end.wait()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        has_begun.wait()
        try:
            yield
        finally:
            may_end.set()
            writer.result()


def run_at_once(database: Database, jobs: list[Callable[[Connection], Any]]) -> list[Any]:
    """What became of each: its value or its error."""

    def catch_outcome(job: Callable[[Connection], Any]) -> Any:
        try:
            return database.group_commit(job)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(jobs)) as pool:
        with wait_behind_write(database):
            futures = [pool.submit(catch_outcome, job) for job in jobs]
            while database.count_waiting_writes() < len(jobs):
                pass
        return [future.result() for future in futures]


def test_waiting_writes_share_a_commit(database: Database) -> None:
    commits: list[Connection] = []
    event.listen(database.engine, "commit", commits.append)
    assert run_at_once(database, [make_insert(number) for number in range(WRITERS)]) == list(range(WRITERS))
    assert list_numbers(database) == list(range(WRITERS))
    assert len(commits) == 2, "the one that was under way, and theirs"


def test_a_failed_write_is_undone_alone(database: Database) -> None:
    def insert_and_fail(connection: Connection) -> None:
        make_insert(100)(connection)
        raise ValueError("of its own")

    jobs = [make_insert(1), insert_and_fail, make_insert(2), make_insert(2), make_insert(3)]
    first, value, second, second_error, third = run_at_once(database, jobs)
    assert isinstance(value, ValueError)
    assert sorted(map(str, (second, second_error))) != ["2", "2"]
    assert sum(isinstance(outcome, IntegrityError) for outcome in (second, second_error)) == 1
    assert (first, third) == (1, 3)
    assert list_numbers(database) == [1, 2, 3]


def test_a_failing_database_fails_all_writes_and_changes_nothing(database: Database) -> None:
    def fail_on_full_disk(connection: Connection) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    outcomes = run_at_once(database, [make_insert(1), fail_on_full_disk, make_insert(2)])
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 3
    assert list_numbers(database) == []
    assert database.group_commit(make_insert(1)) == 1


def test_a_single_write_returns_its_result_or_raises_its_error(database: Database) -> None:
    assert database.group_commit(make_insert(1)) == 1
    with pytest.raises(IntegrityError):
        database.group_commit(make_insert(1))
    with pytest.raises(StoreError, match="failed"):
        database.group_commit(lambda connection: connection.execute(text("SELECT nothing FROM nowhere")))
    assert list_numbers(database) == [1]


def test_waiting_items_of_one_function_are_written_at_once(database: Database) -> None:
    batches: list[list[int]] = []

    def insert_all(connection: Connection, numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        return [make_insert(number)(connection) * 10 for number in numbers]

    with ThreadPoolExecutor(WRITERS) as pool:
        with wait_behind_write(database):
            futures = [pool.submit(database.write_in_batch, insert_all, number) for number in (1, 2, 2, 3)]
            while database.count_waiting_writes() < len(futures):
                pass
        outcomes = [future.exception() or future.result() for future in futures]
    assert sum(isinstance(outcome, IntegrityError) for outcome in outcomes) == 1
    assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == [10, 20, 30]
    assert list_numbers(database) == [1, 2, 3]
    assert sorted(batches[0]) == [1, 2, 2, 3]
    assert sorted(batches[1:]) == [[1], [2], [2], [3]], "each alone, because one has failed"
