"""Texts that a form changed: they keep the line endings, the byte order mark and the end of their file."""

import pytest

from dockgate.web.console.edited_text import decode_text, make_field_text, restore_text

FILES = {
    "line feeds": "one\ntwo\n",
    "carriage returns and line feeds": "one\r\ntwo\r\n",
    "carriage returns": "one\rtwo\r",
    "mixed": "one\r\ntwo\nthree\rfour\n\n\r\nfive\r\n",
    "mixed with lines alike": "x\r\nx\nx\r\ny\nx\n",
    "no newline at the end": "one\r\ntwo",
    "one line": "one",
    "byte order mark": "\ufeffone\r\ntwo\r\n",
    "other separators": "one\u2028\x0b\x0c\x85two\n",
    "blank": "\n",
}


def _make_browser_text(text: str) -> str:
    """What a browser sends for a text: CRLF for each ending."""
    return make_field_text(text).replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_an_unchanged_text_stays_as_it_was(text: str) -> None:
    assert restore_text(_make_browser_text(text), text) == text


@pytest.mark.parametrize("text", [text for text in FILES.values() if "two" in text])
def test_a_changed_word_changes_no_ending(text: str) -> None:
    assert restore_text(_make_browser_text(text.replace("two", "2")), text) == text.replace("two", "2")


def test_a_new_line_ends_as_the_line_above_it() -> None:
    assert restore_text("zero\r\none\r\nsecond\r\ntwo\r\n", "one\r\ntwo\r\n") == "zero\r\none\r\nsecond\r\ntwo\r\n"
    assert restore_text("one\r\nnew\r\ntwo\r\nthree\r\nlast", "one\rtwo\r\nthree\r\n") == (
        "one\rnew\rtwo\r\nthree\r\nlast\r\n"
    )


def test_a_text_ends_with_a_newline_unless_its_file_has_none() -> None:
    assert restore_text("one\r\ntwo") == "one\ntwo\n"
    assert restore_text("one\r\ntwo", "one\n") == "one\ntwo\n"
    assert restore_text("one\r\ntwo", "one\r\n2") == "one\r\ntwo"
    assert restore_text("one\r\ntwo\r\n", "one\r\n2") == "one\r\ntwo\r\n"
    assert restore_text("one") == restore_text("one", "") == "one\n"
    assert restore_text("") == restore_text("", "one\r\n") == ""


@pytest.mark.parametrize("content", [b"caf\xe9\n", "a".encode("utf-16"), b"a\0b"])
def test_other_bytes_are_no_text(content: bytes) -> None:
    assert decode_text(content) is None
    assert decode_text("é".encode()) == "é"
