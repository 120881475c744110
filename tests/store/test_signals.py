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


def listen(store: Store, received_items: list[str]) -> None:
    store.signals.receive(Topic.APPROVALS, received_items.extend)
    store.signals.start()


def send(store: Store, *items: str) -> bool:
    store.signals.send(Topic.APPROVALS, items)
    return True


def test_a_signal_reaches_the_other_process_and_not_its_sender(stores: tuple[Store, Store]) -> None:
    first, second = stores
    items_of_sender, items_of_peer = list[str](), list[str]()
    listen(first, items_of_sender)
    listen(second, items_of_peer)
    # A signal is lost until the other listens.
    wait_until(lambda: send(first, "a", "b") and items_of_peer[:2] == ["a", "b"])
    assert items_of_sender == []
    for store in stores:
        store.signals.close()


def test_many_items_are_sent_in_notifications_that_postgres_accepts(stores: tuple[Store, Store]) -> None:
    first, second = stores
    received_items: list[str] = []
    listen(second, received_items)
    wait_until(lambda: send(first, "ready") and received_items)
    items = [f"execution-{number}/{'x' * 100}" for number in range(MAX_PAYLOAD // 50)]
    first.signals.send(Topic.APPROVALS, items)
    wait_until(lambda: received_items[-len(items) :] == items)
    second.signals.close()


def test_a_listener_reconnects_when_its_connection_ends(stores: tuple[Store, Store]) -> None:
    first, second = stores
    received_items: list[str] = []
    listen(second, received_items)
    wait_until(lambda: send(first, "before") and received_items)
    first.database.end_sessions(second.database.process)
    received_items.clear()
    wait_until(lambda: send(first, "after") and "after" in received_items)
    second.signals.close()


def test_a_lock_is_free_once_the_sessions_of_its_holder_were_ended(stores: tuple[Store, Store]) -> None:
    first, second = stores
    is_taken, go = threading.Event(), threading.Event()

    def hold() -> None:
        with first.locks.hold("service web"):
            is_taken.set()
            go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    is_taken.wait()
    with second.locks.try_hold("service web") as is_free:
        assert not is_free
    second.database.end_sessions(first.database.process)
    with second.locks.hold("service web"):
        pass
    go.set()
    holder.join()
