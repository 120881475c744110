"""Signals reach the other processes of a Postgres database, and only those."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.store.factories import open_store_of_kind

from dockgate.store import Store
from dockgate.store.signals import MAX_PAYLOAD, Topic


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two on the same tables, as two processes would have them."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(open_store_of_kind("postgres", tmp_path)),
            stack.enter_context(open_store_of_kind("postgres", tmp_path)),
        )


def listen(store: Store, received: list[str]) -> None:
    store.signals.receive(Topic.APPROVALS, received.extend)
    store.signals.start()


def send(store: Store, *items: str) -> bool:
    store.signals.send(Topic.APPROVALS, items)
    return True


def test_a_signal_reaches_the_other_process_and_not_its_sender(stores: tuple[Store, Store]) -> None:
    first, second = stores
    here, there = list[str](), list[str]()
    listen(first, here)
    listen(second, there)
    # A signal is lost until the other listens.
    wait_until(lambda: send(first, "a", "b") and there[:2] == ["a", "b"])
    assert here == []
    for store in stores:
        store.signals.close()


def test_many_items_are_sent_in_notifications_that_postgres_accepts(stores: tuple[Store, Store]) -> None:
    first, second = stores
    received: list[str] = []
    listen(second, received)
    wait_until(lambda: send(first, "ready") and received)
    items = [f"execution-{number}/{'x' * 100}" for number in range(MAX_PAYLOAD // 50)]
    first.signals.send(Topic.APPROVALS, items)
    wait_until(lambda: received[-len(items) :] == items)
    second.signals.close()


def test_a_listener_reconnects_when_its_connection_ends(stores: tuple[Store, Store]) -> None:
    first, second = stores
    received: list[str] = []
    listen(second, received)
    wait_until(lambda: send(first, "before") and received)
    first.database.end_sessions(second.database.process)
    received.clear()
    wait_until(lambda: send(first, "after") and "after" in received)
    second.signals.close()


def test_a_lock_is_free_once_the_sessions_of_its_holder_were_ended(stores: tuple[Store, Store]) -> None:
    first, second = stores
    taken, go = threading.Event(), threading.Event()

    def hold() -> None:
        with first.locks.hold("service web"):
            taken.set()
            go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    with second.locks.try_hold("service web") as is_free:
        assert not is_free
    second.database.end_sessions(first.database.process)
    with second.locks.hold("service web"):
        pass
    go.set()
    holder.join()
