"""Background work gives way to answers."""

import threading

import pytest

from dockgate.services.approvals.precedence import Precedence

SECONDS = 20


def test_background_work_waits_until_all_is_answered() -> None:
    precedence = Precedence(longest_wait=SECONDS)
    has_gone_on = threading.Event()

    def work() -> None:
        precedence.give_way()
        has_gone_on.set()

    with precedence.answering():
        with precedence.answering():
            assert precedence.is_answering()
            background = threading.Thread(target=work)
            background.start()
        assert not has_gone_on.is_set()
    assert has_gone_on.wait(SECONDS)
    background.join()
    assert not precedence.is_answering()


def test_background_work_goes_on_while_there_is_always_something_to_answer() -> None:
    precedence = Precedence(longest_wait=0.01)
    with precedence.answering():
        precedence.give_way()
        assert precedence.is_answering()


def test_an_answer_that_fails_counts_no_longer() -> None:
    precedence = Precedence()
    with pytest.raises(OSError, match="full"), precedence.answering():
        raise OSError("full")
    assert not precedence.is_answering()
