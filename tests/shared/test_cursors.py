"""Cursors come from clients: a wrong one is refused before a database sees it."""

import base64
import json

import pytest

from dockgate.shared.cursors import read_cursor, write_cursor
from dockgate.shared.errors import UsageError


def test_a_cursor_is_read_as_it_was_written() -> None:
    assert read_cursor(write_cursor("-name", ["ä\n", 7]), "-name", (str, int)) == ("ä\n", 7)


@pytest.mark.parametrize("value", ["\ud800", "\0", "a\0b", 1 << 54, 1.5, True, None, ["a"]])
def test_a_value_that_no_database_stores_is_refused(value: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(["-name", value]).encode()).decode()
    for types in ((str,), (int,), None):
        with pytest.raises(UsageError, match="is not a cursor of this list"):
            read_cursor(text, "-name", types)


@pytest.mark.parametrize("text", ["", "e", "W10", "e30", "bnVsbA", base64.urlsafe_b64encode(b"[" * 1500).decode()])
def test_what_is_no_list_of_values_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_cursor(text, "-name", (str,))
