"""The reconciler leaves alone what is being worked on."""

from dockgate.services.reconciler_rounds import OverdueItems


def test_the_first_round_takes_all_and_later_ones_what_was_due_before() -> None:
    left_behind = OverdueItems[str]()
    assert left_behind.among(["a", "b"]) == ["a", "b"]
    assert left_behind.among(["c", "b"]) == ["b"]
    assert left_behind.among(["c"]) == ["c"]
    assert left_behind.among([]) == []
    assert left_behind.among(["c"]) == []  # it was done meanwhile, and is due anew
