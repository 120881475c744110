"""The reconciler leaves alone what is being worked on, and what has not changed."""

from dockgate.services.reconciler_rounds import ROUND_LIMIT, OverdueItems, RoundRobin


def test_the_first_round_takes_all_and_later_ones_what_was_due_before() -> None:
    left_behind = OverdueItems[str]()
    assert left_behind.select_overdue(["a", "b"]) == ["a", "b"]
    assert left_behind.select_overdue(["c", "b"]) == ["b"]
    assert left_behind.select_overdue(["c"]) == ["c"]
    assert left_behind.select_overdue([]) == []
    assert left_behind.select_overdue(["c"]) == []  # it was done meanwhile, and is due again


def test_a_revision_is_finished_when_nothing_is_left_to_do() -> None:
    rounds, items = RoundRobin[tuple[int]](), [(number,) for number in range(ROUND_LIMIT + 1)]
    rounds.run(items, str, lambda _: True, "trying", "one")
    assert not rounds.is_finished("one")  # one item more than a round takes
    rounds.run(items, str, lambda _: True, "trying", "one")
    assert rounds.is_finished("one")
    assert not rounds.is_finished("two")


def test_a_revision_is_not_finished_while_an_item_fails_or_is_due() -> None:
    def fail(_: tuple[int]) -> bool:
        raise ValueError("an internal error")

    for state, act in ((str, fail), (str, lambda _: False), (lambda _: "", lambda _: True)):
        rounds = RoundRobin[tuple[int]]()
        for _ in range(2):
            rounds.run([(1,)], state, act, "trying", "one")
            assert not rounds.is_finished("one")
        rounds.run([(1,)], str, lambda _: True, "trying", "one")
        assert rounds.is_finished("one")
