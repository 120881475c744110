"""Answers of forms: the first one counts until it is forgotten, or its form was not accepted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, open_store_of_kind

from dockgate.store import Store
from dockgate.store.identity.form_answers import FormAnswer

PAST = "2026-11-23T10:00:00.000Z"
NEW = FormAnswer(None, NOW, is_new=True)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_a_form_has_the_answer_of_its_first_copy(store: Store) -> None:
    answers = store.form_answers
    assert answers.begin("form", NOW, PAST) == NEW
    assert answers.begin("form", LATER, PAST) == FormAnswer(None, NOW)
    answers.finish("form", NOW, "/policies/strict")
    assert answers.begin("form", LATER, PAST) == FormAnswer("/policies/strict", NOW)
    assert answers.begin("another form", LATER, PAST).is_new


def test_a_form_that_was_not_accepted_may_be_sent_again(store: Store) -> None:
    store.form_answers.begin("form", NOW, PAST)
    store.form_answers.finish("form", NOW, None)
    assert store.form_answers.begin("form", NOW, PAST) == NEW


def test_an_unfinished_form_is_taken_over_once(store: Store) -> None:
    answers = store.form_answers
    answers.begin("form", NOW, PAST)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: answers.renew("form", NOW, LATER), range(4)))
    assert sorted(results) == [False, False, False, True]
    answers.finish("form", LATER, "/policies/strict")
    assert not answers.renew("form", LATER, LATER)
    assert answers.begin("form", LATER, PAST) == FormAnswer("/policies/strict", LATER)


def test_a_server_that_was_slow_does_not_forget_the_form_that_another_one_handles(store: Store) -> None:
    answers = store.form_answers
    answers.begin("form", NOW, PAST)
    assert answers.renew("form", NOW, LATER)
    answers.finish("form", NOW, None)
    assert answers.begin("form", LATER, PAST) == FormAnswer(None, LATER)
    answers.finish("form", NOW, "/slow")  # it did act
    answers.finish("form", LATER, "/second")
    assert answers.begin("form", LATER, PAST) == FormAnswer("/slow", LATER)


def test_old_answers_are_forgotten(store: Store) -> None:
    store.form_answers.begin("form", NOW, PAST)
    store.form_answers.finish("form", NOW, "/policies/strict")
    assert store.form_answers.begin("form", LATER, LATER).is_new


def test_one_of_several_copies_at_the_same_time_is_handled(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: store.form_answers.begin("form", NOW, PAST), range(4)))
    assert sorted(answers, key=str) == [FormAnswer(None, NOW)] * 3 + [NEW]
