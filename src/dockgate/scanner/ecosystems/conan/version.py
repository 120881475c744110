"""Conan's order of versions (conan/internal/model/version.py of Conan 2), as its own Version says in the tests.

It is no order in the mathematical sense ("10" < "1a" < "2" < "10": a number and a word are compared as texts), so that
no byte string can stand for a version.
"""

from functools import total_ordering
from typing import Any

# Characters, as of every part of a Conan reference.
VERSION_LIMIT = 101


@total_ordering
class Item:
    """What stands between two dots: a number where Python's `int` takes it for one, else a word."""

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


def key(version: str) -> tuple[Any, ...]:
    """Numbers and words, then a pre-release before none, then a build after none; zeros at an end do not count."""
    rest, plus, build = version.rpartition("+") if "+" in version else (version, "", "")
    main, dash, pre = rest.partition("-")
    return _items(main), (0, _items(pre)) if dash else (1, ()), (1, _items(build)) if plus else (0, ())


def _items(text: str) -> tuple[Item, ...]:
    items = [Item(part) for part in text.split(".")]
    while items and items[-1].value == 0:
        items.pop()
    return tuple(items)
