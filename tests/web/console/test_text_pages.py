"""Pages of a text's lines: bounded whatever the text is, and together the whole text."""

import pytest

from dockgate.web.console.text_pages import MAX_BYTES, MAX_LINE, MAX_LINES, make_text_page, split_lines

TEXTS = {
    "newlines": "\n" * (1 << 20),
    "short lines": "x\n" * 60_000,
    "ordinary lines": f"{'word ' * 16}\n" * 9_000,
    "one line": "x" * (1 << 20),
    "long lines of what is escaped": ("\x01" * 10_000 + "\n") * 100,
    "markup": "&<>\"'\n" * 100_000,
    "characters of four bytes": "\U0001f600" * (1 << 18),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_page_is_bounded_by_lines_and_by_characters(text: str) -> None:
    page = make_text_page(split_lines(text))
    assert 1 <= len(page.lines) <= MAX_LINES
    assert sum(len(line) for _, line in page.lines) <= MAX_BYTES
    assert all(len(line) < MAX_LINE + 40 for _, line in page.lines)


@pytest.mark.parametrize("text", ["a\n" * 2500, ("b" * 1500 + "\n") * 300, "c", "", "d\r\n\ne"])
def test_pages_together_have_every_line_once_in_both_directions(text: str) -> None:
    lines = split_lines(text)
    page = make_text_page(lines)
    numbers = [number for number, _ in page.lines]
    while page.next_start:
        page = make_text_page(lines, page.next_start)
        numbers += [number for number, _ in page.lines]
    assert numbers == list(range(1, page.total + 1))
    while page.previous_start:
        page, before = make_text_page(lines, page.previous_start), page
        assert page.next_start == before.lines[0][0]


def test_a_page_begins_at_the_line_that_is_asked_for() -> None:
    lines = split_lines("x\n" * 5000)
    assert make_text_page(lines, 1234).lines[0] == (1234, "x")
    assert make_text_page(lines, 1234).previous_start == 234
    assert make_text_page(lines, 9999).lines == [(5000, "x")]
    assert make_text_page(lines, -5).lines[0][0] == 1


def test_lines_end_with_line_feeds_alone() -> None:
    assert split_lines("a\r\nb\x0cc\u2028d\n\n") == ["a", "b\x0cc\u2028d", ""]
