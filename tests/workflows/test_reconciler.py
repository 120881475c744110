"""What is done again and again: what fails or takes long holds up nobody else, and all of it ends."""

import logging
import threading
import time
from collections import Counter

import pytest
from tests.parts import until

from dockgate.workflows.reconciler import Sweeper

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

    sweeper = Sweeper(
        PAUSE,
        [
            [
                ("failing", 1, failing),
                ("other", 1, lambda: turns.update(["other"])),
                ("third", 3, lambda: turns.update("3")),
            ],
            [("slow", 1, slow), ("behind", 1, lambda: turns.update(["behind"]))],
        ],
    )
    with caplog.at_level(logging.WARNING):
        sweeper.start()
        until(lambda: turns["other"] >= 7)
    assert turns["failing"] >= 7
    assert 2 <= turns["3"] < turns["other"]
    assert (turns["slow"], turns["behind"]) == (1, 0)
    assert "sweeping failing failed, and is tried again: no space left on device" in caplog.text
    go.set()
    until(lambda: turns["behind"])
    sweeper.close()


def test_it_ends_in_time_though_a_sweep_does_not() -> None:
    begun, go = threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        go.wait()

    after: list[bool] = []
    sweeper = Sweeper(PAUSE, [[("stuck", 1, stuck), ("next", 1, lambda: after.append(True))] for _ in range(5)])
    sweeper.close()  # before it has started, too
    sweeper = Sweeper(PAUSE, [[("stuck", 1, stuck), ("next", 1, lambda: after.append(True))] for _ in range(5)])
    sweeper.start()
    begun.wait()
    begin = time.monotonic()
    sweeper.close()
    assert time.monotonic() - begin < 4  # of one thread after the other it would be five
    go.set()
    sweeper.close()
    assert after == []
