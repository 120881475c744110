"""Locks: one thread at a time, of one process or of several, and nothing stays of a name that is not in use."""

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from tests.store.factories import open_store_of_kind

from dockgate.shared.errors import StoreError
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.store.engine import Database
from dockgate.store.locks import Locks

SECONDS = 20


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(Database.from_file(tmp_path / "dockgate.db"))


def test_a_lock_is_free_again_after_its_block(locks: Locks) -> None:
    with locks.try_hold("scan") as first, locks.try_hold("scan") as second, locks.try_hold("build") as build:
        assert (first, second, build) == (True, False, True)
    with locks.try_hold("scan") as is_locked_again:
        assert is_locked_again


def test_a_thread_waits_for_the_lock_of_another(locks: Locks) -> None:
    order = list[str]()
    waits = threading.Event()

    def lock_after_first() -> None:
        waits.set()
        with locks.hold("scan"):
            order.append("second")

    thread = threading.Thread(target=lock_after_first)
    with locks.hold("scan"):
        thread.start()
        assert waits.wait(SECONDS)
        with locks.try_hold("scan") as is_mine:
            assert not is_mine
        order.append("first")
    thread.join(SECONDS)
    assert order == ["first", "second"]


def test_names_that_are_not_in_use_take_no_memory(locks: Locks) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5000):
            with locks.try_hold(f"scan sha256:{number:064x}"):
                pass
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two on the same tables of Postgres, as two processes would have them."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(open_store_of_kind("postgres", tmp_path)),
            stack.enter_context(open_store_of_kind("postgres", tmp_path)),
        )


def test_each_lock_of_a_process_is_free_when_its_own_block_ends(stores: tuple[Store, Store]) -> None:
    first, second = stores
    with first.locks.try_hold("scan"):
        with first.locks.try_hold("build"), second.locks.try_hold("build") as build:
            assert not build
        with second.locks.try_hold("build") as build, second.locks.try_hold("scan") as scan:
            assert (build, scan) == (True, False)
    with second.locks.try_hold("scan") as scan:
        assert scan


def test_all_locks_of_a_process_are_free_when_its_sessions_end(stores: tuple[Store, Store]) -> None:
    """It then takes locks again, and does not free those that others have taken meanwhile."""
    first, second = stores
    with first.locks.try_hold("scan"), first.locks.try_hold("build"):
        second.database.end_sessions(first.database.process)
        # The first statement in the ended session fails, as any statement of that process does.
        with second.locks.try_hold("scan") as scan, second.locks.try_hold("build") as build:
            assert (scan, build) == (True, True)
            with pytest.raises(StoreError), first.locks.try_hold("deploy"):
                pass
            with first.locks.try_hold("deploy") as deploy:
                assert deploy
    with second.locks.try_hold("scan") as scan, first.locks.try_hold("build") as build:
        assert (scan, build) == (True, True)


class RefusingDatabase(Database):
    """A database that can be taken to be away, while its open sessions still answer."""

    is_refusing = False

    @override
    def require_answers(self) -> None:
        if self.is_refusing:
            raise StoreError("the database does not answer")


def test_a_lock_that_is_asked_for_while_the_database_is_away_takes_none_from_others(
    stores: tuple[Store, Store],
) -> None:
    database, other_locks = RefusingDatabase(make_url(stores[0].database.url)), stores[1].locks
    locks = Locks(database)
    with closing(database), locks.try_hold("scan"):
        with locks.try_hold("build"):
            database.is_refusing = True
            with pytest.raises(StoreError), locks.try_hold("deploy"):
                pass
            with other_locks.try_hold("scan") as scan, other_locks.try_hold("build") as build:
                assert (scan, build) == (False, False)
        with other_locks.try_hold("scan") as scan, other_locks.try_hold("build") as build:
            assert (scan, build) == (False, True)


def test_locks_that_nothing_waits_for_share_a_connection(stores: tuple[Store, Store]) -> None:
    first, second = stores
    sessions = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :process")
    with ExitStack() as locks:
        for number in range(20):
            locks.enter_context(first.locks.try_hold(f"scan {number}"))
        with second.database.read() as connection:
            assert connection.scalar(sessions, {"process": first.database.process}) <= 2
