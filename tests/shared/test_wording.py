"""Text for people is cut and counted in one way everywhere."""

import pytest

from dockgate.gate.summaries import SUMMARY_LIMIT
from dockgate.shared.wording import format_count, list_first, shorten_text


def test_a_summary_fits_where_the_reference_solution_puts_it() -> None:
    assert SUMMARY_LIMIT == 512
    assert shorten_text("x" * 512, SUMMARY_LIMIT) == "x" * 512
    assert len(shorten_text("x" * 600, SUMMARY_LIMIT)) == 512
    assert shorten_text("x" * 600, SUMMARY_LIMIT).endswith("…")


@pytest.mark.parametrize(("count", "text"), [(0, "0 paths"), (1, "1 path"), (2, "2 paths"), (1200, "1,200 paths")])
def test_a_count_has_its_noun(count: int, text: str) -> None:
    assert format_count(count, "path") == text


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert list_first(["a", "b", "c"]) == "a, b, c"
    assert list_first(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
