"""Background work gives way to answers."""

import threading

import pytest

from dockgate.services.answer_priority import AnswerPriority

SECONDS = 20


def test_background_work_waits_until_all_is_answered() -> None:
    answer_priority = AnswerPriority(longest_wait=SECONDS)
    has_gone_on = threading.Event()

    def wait_for_answers() -> None:
        answer_priority.give_way()
        has_gone_on.set()

    with answer_priority.count_answer():
        with answer_priority.count_answer():
            assert answer_priority.is_answering()
            background = threading.Thread(target=wait_for_answers)
            background.start()
        assert not has_gone_on.is_set()
    assert has_gone_on.wait(SECONDS)
    background.join()
    assert not answer_priority.is_answering()


def test_background_work_goes_on_while_there_is_always_something_to_answer() -> None:
    answer_priority = AnswerPriority(longest_wait=0.01)
    with answer_priority.count_answer():
        answer_priority.give_way()
        assert answer_priority.is_answering()


def test_an_answer_that_fails_counts_no_longer() -> None:
    answer_priority = AnswerPriority()
    with pytest.raises(OSError, match="full"), answer_priority.count_answer():
        raise OSError("full")
    assert not answer_priority.is_answering()
