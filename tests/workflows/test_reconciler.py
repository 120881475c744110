"""Repeated tasks: a failing or long task blocks no other group, and all of them end."""

import logging
import threading
import time
from collections import Counter

import pytest
from tests.parts import until

from dockgate.workflows.reconciler import Reconciler, RepeatedTask

PAUSE = 0.01


def test_what_fails_is_told_and_done_again_and_what_takes_long_holds_up_no_other_group(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns: Counter[str] = Counter()
    go = threading.Event()

    def failing() -> None:
        turns["failing"] += 1
        raise OSError("no space left on device")

    def slow() -> None:
        turns["slow"] += 1
        go.wait()

    reconciler = Reconciler(
        PAUSE,
        [
            [
                RepeatedTask("failing", failing),
                RepeatedTask("other", lambda: turns.update(["other"])),
                RepeatedTask("third", lambda: turns.update("3"), every=3),
            ],
            [RepeatedTask("slow", slow), RepeatedTask("behind", lambda: turns.update(["behind"]))],
        ],
    )
    with caplog.at_level(logging.WARNING):
        reconciler.start()
        until(lambda: turns["other"] >= 7)
    assert turns["failing"] >= 7
    assert 2 <= turns["3"] < turns["other"]
    assert (turns["slow"], turns["behind"]) == (1, 0)
    assert "reconciling failing failed, and will be retried: no space left on device" in caplog.text
    go.set()
    until(lambda: turns["behind"])
    reconciler.close()


def test_it_ends_in_time_though_a_sweep_does_not() -> None:
    begun, go = threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        go.wait()

    after: list[bool] = []
    tasks = [RepeatedTask("stuck", stuck), RepeatedTask("next", lambda: after.append(True))]
    reconciler = Reconciler(PAUSE, [tasks for _ in range(5)])
    reconciler.close()  # before it has started, too
    reconciler = Reconciler(PAUSE, [tasks for _ in range(5)])
    reconciler.start()
    begun.wait()
    begin = time.monotonic()
    reconciler.close()
    assert time.monotonic() - begin < 4  # of one thread after the other it would be five
    go.set()
    reconciler.close()
    assert after == []
