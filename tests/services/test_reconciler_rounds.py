"""The reconciler leaves alone what is being worked on, and what has not changed."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from dockgate.services.reconciler_rounds import ROUND_LIMIT, Completion, OverdueItems, RoundRobin
from dockgate.shared.errors import StoreError
from dockgate.shared.timestamps import format_time, to_datetime

NOW, LATER = "2026-12-01T08:00:00.000Z", "2026-12-01T09:00:00.000Z"


def complete(_: tuple[int]) -> Completion:
    return Completion(NOW)


def test_the_first_round_takes_all_and_later_ones_what_was_due_before() -> None:
    left_behind = OverdueItems[str]()
    assert left_behind.select_overdue(["a", "b"]) == ["a", "b"]
    assert left_behind.select_overdue(["c", "b"]) == ["b"]
    assert left_behind.select_overdue(["c"]) == ["c"]
    assert left_behind.select_overdue([]) == []
    assert left_behind.select_overdue(["c"]) == []  # it was done meanwhile, and is due again


def test_a_revision_is_finished_when_nothing_is_left_to_do() -> None:
    rounds, items = RoundRobin[tuple[int]](), [(number,) for number in range(ROUND_LIMIT + 1)]
    rounds.run(items, str, complete, "trying", NOW, "one")
    assert not rounds.is_finished("one", NOW)  # one item more than a round takes
    rounds.run(items, str, complete, "trying", NOW, "one")
    assert rounds.is_finished("one", NOW)
    assert not rounds.is_finished("two", NOW)


def test_a_revision_is_not_finished_while_an_item_is_due() -> None:
    def leave(_: tuple[int]) -> None:
        return None

    cases: Sequence[tuple[Callable[[tuple[int]], str], Callable[[tuple[int]], Completion | None]]]
    cases = (str, leave), (lambda _: "", complete)
    for state, act in cases:
        rounds = RoundRobin[tuple[int]]()
        for _ in range(2):
            rounds.run([(1,)], state, act, "trying", NOW, "one")
            assert not rounds.is_finished("one", NOW)
        rounds.run([(1,)], str, complete, "trying", NOW, "one")
        assert rounds.is_finished("one", NOW)


class FailingWork:
    """Work on one item, which fails with `error`. It raises the error, or records something and reports it."""

    def __init__(self, error: Exception | None, *, is_raised: bool = True) -> None:
        self.rounds, self.error, self.is_raised, self.calls = RoundRobin[tuple[int]](), error, is_raised, 0
        self.state: str | None = "state"

    def run(self, seconds: float) -> int:
        """Run a round so many seconds after the first, and return how often the item was worked on till then."""
        now = format_time(to_datetime(NOW) + timedelta(seconds=seconds))
        self.rounds.run([(1,)], lambda _: self.state, lambda _: self.act(now), "trying", now, "one")
        return self.calls

    def act(self, now: str) -> Completion:
        self.calls += 1
        if self.error is not None and self.is_raised:
            raise self.error
        return Completion(now, None, self.state, self.error)


@pytest.mark.parametrize("is_raised", [True, False])
@pytest.mark.parametrize("state", ["state", None])
def test_an_item_that_fails_is_tried_again_after_pauses_that_double(*, is_raised: bool, state: str | None) -> None:
    work = FailingWork(ValueError("an internal error"), is_raised=is_raised)
    work.state = state
    assert [work.run(seconds) for seconds in (0, 2, 9, 10, 20, 29, 30)] == [1, 1, 1, 2, 2, 2, 3]
    assert [work.run(30 + 600 * number) for number in range(1, 12)] == list(range(4, 15))  # at most ten minutes
    work.error = None
    assert work.run(10_000) == 15
    assert work.run(20_000) == (15 if state else 16)


def test_an_item_that_fails_is_tried_again_when_its_state_changes_and_does_not_keep_a_round_busy() -> None:
    work = FailingWork(ValueError("an internal error"))
    assert work.run(0) == 1
    assert work.rounds.is_finished("one", NOW)
    assert not work.rounds.is_finished("one", LATER)
    work.state = "another"
    assert work.run(1) == 2


def test_an_item_is_tried_again_at_once_when_the_database_failed() -> None:
    work = FailingWork(StoreError("the database does not answer"))
    assert [work.run(seconds) for seconds in (0, 2)] == [1, 2]
    assert not work.rounds.is_finished("one", NOW)


def test_a_failure_is_logged_once_for_each_cause(caplog: pytest.LogCaptureFixture) -> None:
    work = FailingWork(ValueError("first"))
    for number, cause in enumerate(("first", "first", "second", None, "second")):
        work.error, work.state = ValueError(cause) if cause else None, f"state {number}"
        work.run(number)
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["first", "second", "second"]


def test_time_ends_a_finished_revision() -> None:
    for completion, now, is_finished in (
        (Completion(NOW), LATER, True),
        (Completion(NOW, LATER), NOW, True),
        (Completion(NOW, LATER), LATER, False),
        (Completion(LATER), NOW, False),  # by a clock that was ahead
    ):
        rounds = RoundRobin[tuple[int]]()
        rounds.run([(1,)], str, lambda _, completion=completion: completion, "trying", NOW, "one")  # type: ignore[misc]
        assert rounds.is_finished("one", now) == is_finished


def test_what_the_work_itself_has_changed_is_no_reason_to_do_it_again() -> None:
    rounds, calls, values = RoundRobin[tuple[int]](), list[tuple[int]](), {1: "before"}

    def act(item: tuple[int]) -> Completion:
        calls.append(item)
        values[1] = "after"
        return Completion(NOW, state="after")

    for value, count in (("before", 1), ("after", 1), ("before", 2), ("after", 2)):
        values[1] = value
        rounds.run([(1,)], lambda _: values[1], act, "trying", NOW)
        assert len(calls) == count


def test_time_alone_makes_an_item_due_again() -> None:
    for completion, now, expected in (
        (Completion(NOW), LATER, 1),
        (Completion(NOW, LATER), NOW, 1),
        (Completion(NOW, LATER), LATER, 2),
        (Completion(LATER), NOW, 2),  # by a clock that was ahead
    ):
        rounds, calls = RoundRobin[tuple[int]](), list[tuple[int]]()

        def act(item: tuple[int], completion: Completion = completion, calls: list[tuple[int]] = calls) -> Completion:
            calls.append(item)
            return completion

        rounds.run([(1,)], str, act, "trying", completion.now)
        rounds.run([(1,)], str, act, "trying", now)
        assert len(calls) == expected
