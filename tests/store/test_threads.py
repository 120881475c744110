"""Concurrent calls, of many threads and of two stores on one folder, have their effect once."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy import text
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    PIPELINE,
    list_waiting,
    make_approval,
    make_key,
    open_store_of_kind,
    start_at_gate,
    start_execution,
)

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState, RunState
from dockgate.delivery.pipeline import plan_next
from dockgate.shared.errors import ConflictError
from dockgate.store import Store

T = TypeVar("T")

THREADS = 16


@pytest.fixture(params=FACTORIES)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two on the same tables, as two processes would have them."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(open_store_of_kind(request.param, tmp_path)),
            stack.enter_context(open_store_of_kind(request.param, tmp_path)),
        )


def run_at_once(stores: tuple[Store, Store], call: Callable[[Store, int], T]) -> list[T]:
    """Every thread's result, all of them let go together."""
    gate = threading.Barrier(THREADS)

    def run(number: int) -> T:
        gate.wait()
        return call(stores[number % 2], number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_one_answer_of_many_wins(stores: tuple[Store, Store]) -> None:
    store = stores[0]
    start_at_gate(store)
    for number in range(5):
        store.approvals.add(make_approval(f"other/{number}"))
    store.approvals.add(make_approval(str(make_key("Approve"))))

    def settle(store: Store, number: int) -> bool:
        state = ApprovalState.APPROVED if number % 2 else ApprovalState.REJECTED
        return store.approvals.settle(ApprovalId.from_action(make_key("Approve")), Answer(state, f"by {number}"), NOW)

    winners = run_at_once(stores, settle)
    assert winners.count(True) == 1
    winner = winners.index(True)
    assert store.approvals.get(ApprovalId.from_action(make_key("Approve"))).summary == f"by {winner}"
    run = store.executions.get_run(make_key("Approve"))
    assert (run.state, run.reason) == (RunState.SUCCEEDED if winner % 2 else RunState.FAILED, f"by {winner}")
    assert len(list_waiting(store, IMAGE)) == 5


def test_every_action_starts_once(stores: tuple[Store, Store]) -> None:
    execution = start_execution(stores[0])
    stores[0].executions.finish(make_key("Source"), RunState.SUCCEEDED, NOW)
    assert (
        run_at_once(stores, lambda store, _: list(store.executions.advance(execution, plan_next, NOW)))
        == [[make_key("Build")]] * THREADS
    )
    assert [run.key for run in stores[0].executions.list_runs(execution)] == [make_key("Source"), make_key("Build")]


def test_numbers_are_given_once_and_without_a_gap(stores: tuple[Store, Store]) -> None:
    stores[0].pipelines.put(PIPELINE, NOW)
    numbers = run_at_once(stores, lambda store, n: store.executions.start("web", f"push/{n // 2}", {}, NOW).number)
    assert sorted(numbers) == sorted([*range(1, THREADS // 2 + 1)] * 2)


def test_an_action_ends_once_and_is_tried_again_once(stores: tuple[Store, Store]) -> None:
    execution = start_execution(stores[0])
    endings = run_at_once(
        stores, lambda store, n: store.executions.finish(make_key("Source"), RunState.FAILED, NOW, reason=str(n))
    )
    assert endings.count(True) == 1

    def retry(store: Store, _: int) -> bool:
        try:
            return list(store.executions.retry(execution, LATER)) == [make_key("Source", 2)]
        except ConflictError:
            return False

    assert run_at_once(stores, retry).count(True) == 1


def test_stopping_an_execution_while_its_approval_is_added_leaves_none_waiting(stores: tuple[Store, Store]) -> None:
    executions = [start_at_gate(stores[0], f"push/{n}") for n in range(THREADS // 2)]

    def ask_or_stop(store: Store, number: int) -> None:
        execution = executions[number // 2]
        if number % 2:
            store.approvals.add(make_approval(f"{execution}/Gate/Approve/1"))
        else:
            store.executions.stop(execution, "not now", NOW)

    run_at_once(stores, ask_or_stop)
    assert list(list_waiting(stores[0], IMAGE)) == []


def test_a_branch_head_is_recorded_once_with_one_event(stores: tuple[Store, Store]) -> None:
    event_lists = run_at_once(
        stores, lambda store, _: list(store.push_events.record_heads("web", {"main": "a" * 40}, NOW))
    )
    assert sorted(map(len, event_lists)) == [*[0] * (THREADS - 1), 1]
    versions = run_at_once(stores, lambda store, _: store.pipelines.put(PIPELINE, NOW).version)
    assert versions == [1] * THREADS
    scans = run_at_once(stores, lambda store, _: store.images.request_scan(IMAGE, "web", NOW).number)
    assert scans == [1] * THREADS


def test_lines_of_many_threads_never_mix(stores: tuple[Store, Store]) -> None:
    def write(store: Store, number: int) -> None:
        for _ in range(20):
            store.logs.append(make_key("Build"), str(number) * 1000)

    run_at_once(stores, write)
    lines = stores[0].logs.read(make_key("Build"), 0)[0].decode().splitlines()
    assert sorted(lines) == sorted(str(number) * 1000 for number in range(THREADS) for _ in range(20))


def test_a_blob_written_by_many_threads_is_complete(stores: tuple[Store, Store]) -> None:
    content = b"x" * 100_000
    names = run_at_once(stores, lambda store, _: store.blobs.put(lambda path: path.write_bytes(content)))
    assert stores[0].blobs.get_path(names.pop()).read_bytes() == content
    assert len(set(names)) == 1


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_connection_in_use_is_closed_when_its_thread_gives_it_back(kind: str, tmp_path: Path) -> None:
    with open_store_of_kind(kind, tmp_path) as store, store.database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        driver = connection.connection.driver_connection
        assert driver is not None
        store.database.close()
        connection.execute(text("SELECT 1"))
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        driver.execute("SELECT 1")
