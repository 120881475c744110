"""A lock that a session of another program keeps on Postgres: our writes fail in time, and no lock or limit is lost."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from tests.parts import wait_until
from tests.postgres import drop_database, make_database_url
from tests.store.factories import make_approval, open_store_of_kind

from dockgate.shared.errors import StoreError
from dockgate.store.engine import Database
from dockgate.store.locks import Locks

SECONDS = 0.5


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The database of a store with an approval, which waits for locks for a short time only."""
    with open_store_of_kind("postgres", tmp_path) as store:
        store.approvals.add(make_approval("a"))
        database = Database.from_url(store.database.url, SECONDS)
        yield database
        database.close()
    drop_database(tmp_path / "data")


def connect_directly(database: Database) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(database.url.replace("postgresql+psycopg", "postgresql"))


def limit(database: Database) -> str:
    with database.read() as connection:
        return str(connection.scalar(text("SHOW lock_timeout")))


@pytest.mark.parametrize("lock", ["SELECT * FROM approvals FOR UPDATE", "LOCK TABLE approvals"])
def test_a_write_that_another_program_blocks_fails_in_time(database: Database, lock: str) -> None:
    with connect_directly(database) as session:
        session.execute(lock)
        for write in (_write, _write_in_group):
            begin = time.monotonic()
            with pytest.raises(StoreError, match="lock timeout"):
                write(database)
            assert time.monotonic() - begin < 20 * SECONDS
    _write(database)


def _write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE approvals SET summary = 'x'"))


def _write_in_group(database: Database) -> None:
    database.group_commit(lambda connection: connection.execute(text("UPDATE approvals SET summary = 'x'")))


def test_work_waits_for_a_named_lock_longer_than_statements_do(database: Database, tmp_path: Path) -> None:
    second = Database.from_url(make_database_url(tmp_path / "data"), SECONDS)
    may_end, has_begun = threading.Event(), threading.Event()

    def hold_lock() -> None:
        with Locks(database).hold("service web"):
            has_begun.set()
            assert may_end.wait(60)

    def wait_for_lock() -> str:
        with Locks(second).hold("service web"):
            return "done"

    try:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(hold_lock)
            assert has_begun.wait(60)
            later = pool.submit(wait_for_lock)
            wait_until(lambda: _is_waiting(database), seconds=60)
            time.sleep(3 * SECONDS)
            assert not later.done()
            may_end.set()
            first.result()
            assert later.result(60) == "done"
        assert {limit(database), limit(second)} == {"500ms"}
    finally:
        may_end.set()
        second.close()


def _is_waiting(database: Database) -> bool:
    with database.read() as connection:
        return bool(
            connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
        )
