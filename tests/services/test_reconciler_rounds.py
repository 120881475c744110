"""The reconciler leaves alone what is being worked on, and what has not changed."""

from collections.abc import Callable, Sequence

from dockgate.services.reconciler_rounds import ROUND_LIMIT, Completion, OverdueItems, RoundRobin

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


def test_a_revision_is_not_finished_while_an_item_fails_or_is_due() -> None:
    def fail(_: tuple[int]) -> Completion:
        raise ValueError("an internal error")

    def leave(_: tuple[int]) -> None:
        return None

    cases: Sequence[tuple[Callable[[tuple[int]], str], Callable[[tuple[int]], Completion | None]]]
    cases = (str, fail), (str, leave), (lambda _: "", complete)
    for state, act in cases:
        rounds = RoundRobin[tuple[int]]()
        for _ in range(2):
            rounds.run([(1,)], state, act, "trying", NOW, "one")
            assert not rounds.is_finished("one", NOW)
        rounds.run([(1,)], str, complete, "trying", NOW, "one")
        assert rounds.is_finished("one", NOW)


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
