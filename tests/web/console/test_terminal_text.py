"""Lines of logs: colours as classes, everything else escaped and visible."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.web.console.terminal_text import MAX_LINE, MAX_LINES_TEXT, fold_lines, render_line, strip_colours


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m on", '<span class="sgr-red">red</span> on'),
        ("\x1b[1;31mred\x1b[22m thin", '<span class="sgr-bold sgr-red">red</span><span class="sgr-red"> thin</span>'),
        ("\x1b[92mbright\x1b[39m", '<span class="sgr-green">bright</span>'),
        ("\x1b[38;5;31mmany\x1b[m", "many"),
        ("\x1b[38;2;1;4;31mmore", "more"),
        ("\x1b[48;5;1;32mgreen", '<span class="sgr-green">green</span>'),
        ("\x1b[999999999999mx", "x"),
        ('\x1b[31m<script>&"', '<span class="sgr-red">&lt;script&gt;&amp;&#34;</span>'),
        ("\x1b[2Jcleared\x07", "\\u{1b}[2Jcleared\\u{7}"),
    ],
)
def test_colours_become_classes_and_all_else_is_text(text: str, html: str) -> None:
    assert render_line(text) == html


@given(st.text(alphabet=st.sampled_from("\x1b[];:m0134789<>&\"' ab\u202e\x00"), max_size=60))
def test_a_line_has_no_markup_but_spans_of_known_classes(text: str) -> None:
    html = str(render_line(text))
    assert "\x1b" not in html
    assert "\u202e" not in html
    html_without_spans = re.sub(r'<span class="(sgr-[a-z]+ ?)+">|</span>', "", html)
    assert "<" not in html_without_spans
    assert html.count("<span") == html.count("</span>")


def test_a_page_has_room_for_a_limited_number_of_coloured_characters() -> None:
    lines = ["\x1b[31ma\x1b[32mb" * 2000] * 1000
    assert sum(map(len, fold_lines(lines))) <= MAX_LINES_TEXT + len(lines)
    short_lines = ["x" * (MAX_LINES_TEXT // 1000)] * 999
    assert fold_lines([*short_lines, "y" * 99]) == [*short_lines, "y" * 99]
    assert fold_lines(["y" * (MAX_LINE + 1)]) == ["y" * MAX_LINE + "…"]
    assert fold_lines([]) == []


def test_a_search_looks_at_the_text_without_colours() -> None:
    assert strip_colours("a\x1b[1mb\x1b[0mc") == "abc"
