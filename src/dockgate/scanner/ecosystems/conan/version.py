"""The order of Conan versions: Conan 2's Version (conan/internal/model/version.py).

The tests compare with Conan itself. This is not a mathematical order ("10" < "1a" < "2" < "10", because a number and a
word compare as text), so no byte string can encode a version.
"""

from functools import total_ordering
from typing import Any

VERSION_LIMIT = 101  # characters, the limit for each part of a Conan reference


@total_ordering
class Item:
    """A part between dots: a number if Python's `int` accepts it, else a word."""

    __slots__ = ("value",)

    def __init__(self, text: str) -> None:
        try:
            self.value: int | str = int(text)
        except ValueError:
            self.value = text

    def __eq__(self, operand: object) -> bool:
        return isinstance(operand, Item) and self.value == operand.value

    def __lt__(self, operand: "Item") -> bool:
        if isinstance(self.value, int) and isinstance(operand.value, int):
            return self.value < operand.value
        return str(self.value) < str(operand.value)

    def __hash__(self) -> int:
        return hash(self.value)


def make_version_key(version: str) -> tuple[Any, ...]:
    """Order pre-releases before the release, builds after it; ignore trailing zeros."""
    release, plus, build = version.rpartition("+") if "+" in version else (version, "", "")
    main, dash, pre = release.partition("-")
    return (
        _split_items(main),
        (0, _split_items(pre)) if dash else (1, ()),
        (1, _split_items(build)) if plus else (0, ()),
    )


def _split_items(text: str) -> tuple[Item, ...]:
    items = [Item(part) for part in text.split(".")]
    while items and items[-1].value == 0:
        items.pop()
    return tuple(items)
