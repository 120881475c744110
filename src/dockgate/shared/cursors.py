"""Cursors: where a page of a sorted list ends.

Clients send the text back for the page that follows.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from dockgate.shared.errors import UsageError

# Entries of a page.
PAGE, LARGEST_PAGE = 50, 1000
# JSON's largest exact integer.
_LARGEST_NUMBER = 1 << 53


def write_cursor(sort: str, position: Sequence[str | int]) -> str:
    """Return the cursor of a position (the values by which a row is sorted) in a list sorted by `sort`."""
    text = json.dumps([sort, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(
    text: str, sort: str, types: Sequence[type] | None, largest_number: int = _LARGEST_NUMBER
) -> tuple[Any, ...]:
    """Return the position of a cursor.

    `types` are those of a position, None if they are not known: the list has no entry. UsageError for a text that is
    not a cursor, one of another order, or with a larger number or text that databases cannot store.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        position: list[str | int]
        name, *position = values
        texts = "".join(value for value in position if isinstance(value, str))
        texts.encode()  # UnicodeError for lone surrogates, which JSON may have
    except (binascii.Error, UnicodeError, ValueError, TypeError, RecursionError):
        name, position, texts = None, [], ""
    position_types = [type(value) for value in position]
    has_types = set(position_types) <= {str, int} if types is None else position_types == list(types)
    is_position = name == sort and bool(position) and has_types and "\0" not in texts
    if not is_position or any(type(value) is int and abs(value) > largest_number for value in position):
        raise UsageError(
            f"{text[:100]!r} is not a cursor of this list",
            "Give `next` of the previous page, with the same order, or leave it out.",
        )
    return tuple(position)
