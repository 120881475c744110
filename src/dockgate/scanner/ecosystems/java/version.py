"""The order of Maven versions: `ComparableVersion` of maven-artifact 3.9.

The tests compare with its own `main`. This is not a mathematical order ("1.foo.2" < "1-rc" < "1" < "1.foo.2"), so no
byte string can encode a version: a version is a row of items, and comparing walks along two rows, as Maven does.
"""

from functools import total_ordering
from typing import Final

from dockgate.shared.errors import UncomparableError

VERSION_LIMIT = 256  # characters; MAX_VERSION_LENGTH of Maven 4's ComparableVersion

# A word is (0, rank, its letters if unknown), a number (2, value, b""), the beginning of a sub-list (1, 0, b"").
Item = tuple[int, int, bytes]

_WORD, _NUMBER = 0, 2
_LIST: Final[Item] = (1, 0, b"")
_ZERO: Final[Item] = (_NUMBER, 0, b"")
_RELEASE = 5
_UNKNOWN = 7
_RANKS = {
    "alpha": 0,
    "beta": 1,
    "milestone": 2,
    "rc": 3,
    "cr": 3,
    "snapshot": 4,
    "": _RELEASE,
    "ga": _RELEASE,
    "final": _RELEASE,
    "release": _RELEASE,
    "sp": 6,
}
_BEFORE_DIGITS = {"a": "alpha", "b": "beta", "m": "milestone"}


@total_ordering
class MavenVersion:
    """A version's items in one row; a sub-list ends its list, whose empty items are dropped (`normalize`)."""

    __slots__ = ("items",)

    def __init__(self, version: str) -> None:
        """Parse a version. Raises UncomparableError if it is empty or too long."""
        if not version.strip():
            raise UncomparableError("the Maven version is empty")
        if len(version) > VERSION_LIMIT:
            raise UncomparableError(f"the Maven version {version[:40]!r}… has more than {VERSION_LIMIT} characters")
        lists = _split_lists(version.lower())
        items: list[Item] = []
        for row in lists:
            while row and _compare_with_none(row[-1]) == 0:
                row.pop()
        while lists and not lists[-1]:
            lists.pop()
        for at, row in enumerate(lists):
            if at:
                items.append(_LIST)
            items += row
        self.items = tuple(items)

    def __eq__(self, operand: object) -> bool:
        return isinstance(operand, MavenVersion) and self.items == operand.items

    def __lt__(self, operand: "MavenVersion") -> bool:
        """Compare item by item. After the end of one row, the other's next item that is not empty decides."""
        for own_item, other_item in zip(self.items, operand.items, strict=False):
            if own_item != other_item:
                return own_item < other_item
        shared_length = min(len(self.items), len(operand.items))
        for item in self.items[shared_length:]:
            if side := _compare_with_none(item):
                return side < 0
        for item in operand.items[shared_length:]:
            if side := _compare_with_none(item):
                return side > 0
        return False

    def __hash__(self) -> int:
        return hash(self.items)


def _compare_with_none(item: Item) -> int:
    """Compare the item with no item at all: -1, 0 or 1."""
    kind, value, _ = item
    level = _RELEASE if kind == _WORD else 0
    return (value > level) - (value < level)


def _split_lists(version: str) -> list[list[Item]]:
    """Split a version into a list and its sub-lists.

    A sub-list begins after "-", between letters and digits, and before a word that ends a part. Java's digits are those
    of all scripts in the Basic Multilingual Plane.
    """
    lists: list[list[Item]] = [[]]
    is_number, start = False, 0
    for at, char in enumerate(version):
        if char in ".-":
            lists[-1].append(_ZERO if at == start else _build_item(version[start:at], is_number=is_number))
            start = at + 1
            if char == "-":
                lists.append([])
        elif char.isdecimal() and char <= "\uffff":
            if not is_number and at > start:
                word = version[start:at]
                _add_word(lists, _BEFORE_DIGITS.get(word, word))
                lists.append([])
                start = at
            is_number = True
        else:
            if is_number and at > start:
                lists[-1].append(_build_item(version[start:at], is_number=True))
                lists.append([])
                start = at
            is_number = False
    last_part = version[start:]
    if last_part and is_number:
        lists[-1].append(_build_item(last_part, is_number=True))
    elif last_part:
        _add_word(lists, last_part)
    return lists


def _add_word(lists: list[list[Item]], word: str) -> None:
    if lists[-1]:
        lists.append([])
    lists[-1].append(_build_item(word, is_number=False))


def _build_item(part: str, *, is_number: bool) -> Item:
    """Build an item; unknown words sort like Java's strings, by UTF-16."""
    if is_number:
        return _NUMBER, int(part), b""
    rank = _RANKS.get(part, _UNKNOWN)
    return _WORD, rank, part.encode("utf-16-be", "surrogatepass") if rank == _UNKNOWN else b""
