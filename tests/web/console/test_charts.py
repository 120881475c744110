"""Plots: shapes within their frame, gaps for the unknown, and words that are escaped."""

import re

import pytest

from dockgate.web.console.charts import HEIGHT, WIDTH, draw_bar_plot, draw_line_plot, draw_share_bar

HOSTILE = '"><script>alert(1)</script>'


@pytest.mark.parametrize("values", [[0], [0, 0], [3, 1, 2], [None, 4, None, 5, 6], [None], [], [7] * 90])
def test_a_line_stays_in_its_frame_and_has_a_gap_where_nothing_is_known(values: list[int | None]) -> None:
    svg = draw_line_plot(values, max((value for value in values if value is not None), default=0), "x")
    for across, up in re.findall(r"([\d.]+),([\d.]+)", svg):
        assert 0 <= float(across) <= WIDTH + 1
        assert 0 <= float(up) <= HEIGHT
    pieces = "".join("x" if value is not None else " " for value in values).split()
    assert svg.count("<polyline") == len(pieces)


def test_a_bar_is_drawn_for_each_value_but_zero() -> None:
    svg = draw_bar_plot([0, 1, 4], 4, "x")
    assert [float(height) for height in re.findall(r'height="([\d.]+)"/', svg)] == [13, 46]
    assert "<rect" not in draw_share_bar(0, 0)


def test_words_are_escaped_and_no_attribute_is_a_style() -> None:
    for svg in (draw_line_plot([1], 1, HOSTILE), draw_bar_plot([1], 1, HOSTILE)):
        assert "<script>" not in svg
        assert 'role="img"' in svg
        assert "style=" not in svg
