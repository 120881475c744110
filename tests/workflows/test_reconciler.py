"""Repeated tasks: a failing or long task blocks no other group, and all of them end."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.shared.errors import StoreError
from dockgate.store.locks import Locks
from dockgate.workflows.reconciler import Reconciler, RepeatedTask, TaskGroup

PAUSE = 0.01


@pytest.fixture(params=FACTORIES)
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Locks]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store.locks


def test_a_failing_task_is_logged_and_repeated_and_a_slow_one_blocks_only_its_group(
    locks: Locks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns: Counter[str] = Counter()
    go = threading.Event()

    def fail_with_os_error() -> None:
        turns["failing"] += 1
        raise OSError("no space left on device")

    def wait_until_released() -> None:
        turns["slow"] += 1
        go.wait()

    reconciler = Reconciler(
        locks,
        PAUSE,
        [
            TaskGroup(
                "first",
                [
                    RepeatedTask("failing", fail_with_os_error),
                    RepeatedTask("other", lambda: turns.update(["other"])),
                    RepeatedTask("third", lambda: turns.update("3"), interval_rounds=3),
                ],
            ),
            TaskGroup(
                "second",
                [RepeatedTask("slow", wait_until_released), RepeatedTask("behind", lambda: turns.update(["behind"]))],
            ),
        ],
    )
    with caplog.at_level(logging.WARNING):
        reconciler.start()
        wait_until(lambda: turns["other"] >= 7 and turns["slow"])
    assert turns["failing"] >= 7
    assert 2 <= turns["3"] < turns["other"]
    assert (turns["slow"], turns["behind"]) == (1, 0)
    assert "reconciling failing failed, and will be retried: OSError: no space left on device" in caplog.text
    assert "Traceback" in caplog.text
    go.set()
    wait_until(lambda: turns["behind"])
    reconciler.close()


def test_a_foreseen_failure_is_one_line_of_the_log(locks: Locks, caplog: pytest.LogCaptureFixture) -> None:
    turns: Counter[str] = Counter()

    def fail_with_given_error() -> None:
        turns["failing"] += 1
        error = StoreError("the database does not answer", "Check it.")
        error.add_note("(of web)")
        raise error

    reconciler = Reconciler(locks, PAUSE, [TaskGroup("first", [RepeatedTask("failing", fail_with_given_error)])])
    with caplog.at_level(logging.WARNING):
        reconciler.start()
        wait_until(lambda: turns["failing"] >= 2)
    reconciler.close()
    line = "reconciling failing failed, and will be retried: the database does not answer. Check it. (of web)"
    assert line in caplog.messages
    assert "Traceback" not in caplog.text


def test_closing_does_not_wait_for_a_stuck_task(locks: Locks) -> None:
    has_begun, go = threading.Event(), threading.Event()

    def block_until_released() -> None:
        has_begun.set()
        go.wait()

    after: list[bool] = []
    tasks = [RepeatedTask("stuck", block_until_released), RepeatedTask("next", lambda: after.append(True))]
    reconciler = Reconciler(locks, PAUSE, [TaskGroup(str(number), tasks) for number in range(5)])
    reconciler.close()  # before it has started, too
    reconciler = Reconciler(locks, PAUSE, [TaskGroup(str(number), tasks) for number in range(5)])
    reconciler.start()
    has_begun.wait()
    begin = time.monotonic()
    reconciler.close()
    assert time.monotonic() - begin < 4  # of one thread after the other it would be five
    go.set()
    reconciler.close()
    assert after == []


def test_one_of_two_servers_runs_an_exclusive_group(locks: Locks) -> None:
    running, go = threading.Event(), threading.Event()
    turns: Counter[str] = Counter()

    def wait_until_released() -> None:
        turns["first"] += 1
        running.set()
        go.wait()

    first = Reconciler(locks, PAUSE, [TaskGroup("upkeep", [RepeatedTask("long", wait_until_released)])])
    second = Reconciler(
        locks,
        PAUSE,
        [
            TaskGroup("upkeep", [RepeatedTask("long", lambda: turns.update(["second"]))]),
            TaskGroup("own", [RepeatedTask("own", lambda: turns.update(["own"]))], is_exclusive=False),
        ],
    )
    first.start()
    running.wait()
    second.start()
    wait_until(lambda: turns["own"] >= 5)
    assert turns["second"] == 0
    go.set()
    first.close()
    wait_until(lambda: turns["second"])
    second.close()
