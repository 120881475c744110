"""Locks of one process: one thread at a time, and nothing stays of a name that is not in use."""

import threading
import tracemalloc
from pathlib import Path

import pytest

from dockgate.store.engine import Database
from dockgate.store.locks import Locks

SECONDS = 20


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(Database.from_file(tmp_path / "dockgate.db"))


def test_a_lock_is_free_again_after_its_block(locks: Locks) -> None:
    with locks.try_hold("scan") as first, locks.try_hold("scan") as second, locks.try_hold("build") as build:
        assert (first, second, build) == (True, False, True)
    with locks.try_hold("scan") as again:
        assert again


def test_a_thread_waits_for_the_lock_of_another(locks: Locks) -> None:
    order = list[str]()
    waits = threading.Event()

    def second() -> None:
        waits.set()
        with locks.hold("scan"):
            order.append("second")

    thread = threading.Thread(target=second)
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
