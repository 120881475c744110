"""The fewest of many that are enough: against every set there is."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.gate.remediation.set_cover import (
    EXACT_UP_TO,
    TRIAL_LIMIT,
    Requirement,
    find_irreducible_set,
    find_smallest_set,
)

requirements = st.integers(1, 7).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.lists(st.integers(0, 3), min_size=count, max_size=count).flatmap(
                lambda weights: st.builds(Requirement, st.integers(0, sum(weights)), st.just(tuple(weights)))
            ),
            max_size=4,
        ),
    )
)


def make_acceptance(expected: list[Requirement]) -> Callable[[frozenset[int]], bool]:
    return lambda members: all(sum(entry.weights[index] for index in members) >= entry.need for entry in expected)


@given(requirements)
@settings(max_examples=scale_examples(150), deadline=None)
def test_no_smaller_set_meets_the_requirements(case: tuple[int, list[Requirement]]) -> None:
    count, expected = case
    cover = find_smallest_set(count, expected, make_acceptance(expected), is_counting=True)
    assert cover.is_minimum
    assert make_acceptance(expected)(cover.members)
    fewer = len(cover.members) - 1
    assert fewer < 0 or not any(
        make_acceptance(expected)(frozenset(combination)) for combination in combinations(range(count), fewer)
    )


@given(requirements)
@settings(max_examples=scale_examples(100), deadline=None)
def test_accept_decides_where_counting_is_not_enough(case: tuple[int, list[Requirement]]) -> None:
    count, expected = case
    existing = [require for number, require in enumerate(expected) if number % 2]
    assert len(find_smallest_set(count, existing, make_acceptance(expected), is_counting=False).members) == len(
        find_smallest_set(count, expected, make_acceptance(expected), is_counting=True).members
    )


@given(requirements)
@settings(max_examples=scale_examples(100), deadline=None)
def test_no_member_of_an_irreducible_set_can_be_left_out(case: tuple[int, list[Requirement]]) -> None:
    count, expected = case
    for members in (
        find_irreducible_set(count, expected, make_acceptance(expected), is_counting=True),
        find_irreducible_set(count, (), make_acceptance(expected), is_counting=False),
    ):
        assert make_acceptance(expected)(members)
        assert not any(make_acceptance(expected)(members - {member}) for member in members)


def test_a_set_of_more_than_twenty_candidates_is_not_called_minimum() -> None:
    for count, exact in ((EXACT_UP_TO, True), (EXACT_UP_TO + 1, False)):
        expected = [Requirement(3, (1,) * count)]
        cover = find_smallest_set(count, expected, make_acceptance(expected), is_counting=True)
        assert (len(cover.members), cover.is_minimum) == (3, exact)


def test_required_candidates_do_not_count_against_the_limit() -> None:
    """Only those count among the twenty that could be left out."""
    expected = [Requirement(40, (1,) * 40 + (0,) * 5), Requirement(1, (0,) * 40 + (1,) * 5)]
    cover = find_smallest_set(45, expected, make_acceptance(expected), is_counting=True)
    assert (cover.members, cover.is_minimum) == (frozenset(range(41)), True)


def test_the_number_of_trials_is_limited() -> None:
    request: list[frozenset[int]] = []

    def accept(members: frozenset[int]) -> bool:
        request.append(members)
        return len(members) >= 10

    cover = find_smallest_set(20, (), accept, is_counting=False)
    assert (len(cover.members), cover.is_minimum) == (10, False)
    assert len(request) <= TRIAL_LIMIT + 3 * 20


@pytest.mark.parametrize("needed_count", [1, 500, 999, 1000])
def test_few_of_many_sets_are_tried_where_counting_does_not_decide(needed_count: int) -> None:
    """Whether few candidates can be left out, most, or none: what is not tried is kept, so the set is sufficient."""
    for find in (find_smallest_set, find_irreducible_set):
        tried_sets: list[frozenset[int]] = []

        def accept(members: frozenset[int], tried_sets: list[frozenset[int]] = tried_sets) -> bool:
            tried_sets.append(members)
            return members.issuperset(range(needed_count))

        answer = find(1000, (), accept, is_counting=False)
        members = answer if isinstance(answer, frozenset) else answer.members
        assert members.issuperset(range(needed_count))
        assert len(tried_sets) <= 3 * TRIAL_LIMIT
        if needed_count in (1, 500):
            assert len(members) == needed_count
    assert not find_smallest_set(1000, (), lambda members: len(members) > 998, is_counting=False).is_minimum


@given(st.integers(1, 60), st.sets(st.integers(0, 59)))
@settings(max_examples=scale_examples(100), deadline=None)
def test_asking_for_halves_finds_what_asking_one_by_one_finds(count: int, needed_members: set[int]) -> None:
    needed_members = {index for index in needed_members if index < count}
    members = find_irreducible_set(count, (), needed_members.issubset, is_counting=False)
    assert members == needed_members


def test_a_rule_that_counts_differently_from_its_limit_is_detected() -> None:
    """The set is proven by judging in the end, whatever the numbers promise."""
    messages = [Requirement(1, (1, 1, 1))]
    cover = find_smallest_set(3, messages, lambda members: 2 in members, is_counting=True)
    assert 2 in cover.members
    assert find_irreducible_set(3, messages, lambda members: 2 in members, is_counting=True) == {2}


class Weights(tuple[int, ...]):
    """Weights that count how often one of them is read."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        Weights.reads += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("need", [500, 1000])
def test_many_candidates_are_counted_once_for_all_of_them(need: int) -> None:
    expected = [Requirement(need, Weights((1,) * 1000))]
    Weights.reads = 0
    assert len(find_smallest_set(1000, expected, lambda _: True, is_counting=True).members) == need
    assert Weights.reads < 10 * 1000
