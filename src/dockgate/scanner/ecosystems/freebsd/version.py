"""How FreeBSD versions compare: VERSION[_REVISION][,EPOCH] (libpkg/pkg_version.c).

A version consists of blocks, separated by "+", of components: a number, a letter and another number, missing ones 0. A
version sorts before its own prefix if it continues with less than 0, so no simple byte string stands for it.
"""

from functools import total_ordering
from itertools import zip_longest

# The largest number; pkg replaces larger ones by it.
_MAX = 2**63 - 1
# Words that are a component of their own. Other words count by their first letter, with 2 for "a".
_STAGES = {"pl": 0, "snap": 20, "alpha": 2, "beta": 3, "pre": 17, "rc": 19}

Component = tuple[int, int, int]

_ZERO: Component = (0, 0, 0)


@total_ordering
class FreeBSDVersion:
    """A version that compares like pkg's."""

    __slots__ = ("blocks", "epoch", "revision")

    def __init__(self, version: str) -> None:
        """Parse any text: pkg ignores what precedes a dash."""
        plain = version.rpartition("-")[2]
        front, mark, behind = plain.rpartition("_")
        main, comma, epoch = (behind if mark else plain).rpartition(",")
        self.epoch = _leading_number(epoch) if comma else 0
        self.revision = _leading_number(behind) if mark else 0
        blocks = [_components(block) for block in (front if mark else main if comma else plain).lower().split("+")]
        while blocks and not blocks[-1]:
            blocks.pop()
        self.blocks = tuple(blocks)

    def __eq__(self, operand: object) -> bool:
        return isinstance(operand, FreeBSDVersion) and self._all() == operand._all()

    def __lt__(self, operand: "FreeBSDVersion") -> bool:
        if self.epoch != operand.epoch:
            return self.epoch < operand.epoch
        for left_block, right_block in zip_longest(self.blocks, operand.blocks, fillvalue=()):
            for mine, theirs in zip_longest(left_block, right_block, fillvalue=_ZERO):
                if mine != theirs:
                    return mine < theirs
        return self.revision < operand.revision

    def __hash__(self) -> int:
        return hash(self._all())

    def _all(self) -> tuple[object, ...]:
        return self.epoch, self.blocks, self.revision


def _components(block: str) -> tuple[Component, ...]:
    """The components of a block in lower case, without trailing zeros."""
    components: list[Component] = []
    at, end = 0, len(block)
    while at < end:
        first, at = at, _end_of_run(block, at, digits=True)
        numbered = at > first
        number = _number(block[first:at]) if numbered else -1
        if at < end and not numbered and block[at] == "*":
            components.append((-2, 0, 0))
            break
        word = at
        at = _end_of_run(block, at, digits=False)
        name, letter, patch = block[word:at], 0, 0
        if name in _STAGES and numbered:
            at = word  # as if a dot stood before it
        elif name:
            letter = _STAGES[name] if name in _STAGES else ord(name[0]) - ord("a") + 2
            first, at = at, _end_of_run(block, at, digits=True)
            patch = _number(block[first:at]) if at > first else -1
        components.append((number, letter, patch))
        while (
            at < end
            and block[at] != "*"
            and not _is_char(block[at], digits=True)
            and not _is_char(block[at], digits=False)
        ):
            at += 1
    while components and components[-1] == _ZERO:
        components.pop()
    return tuple(components)


def _end_of_run(text: str, at: int, *, digits: bool) -> int:
    """Position after the digits, or the letters, that begin at `at`."""
    while at < len(text) and _is_char(text[at], digits=digits):
        at += 1
    return at


def _is_char(char: str, *, digits: bool) -> bool:
    return "0" <= char <= "9" if digits else "a" <= char <= "z"


def _leading_number(text: str) -> int:
    """The number at the beginning of the text, which may have a sign."""
    text = text.removeprefix("+")
    return _number(text[: _end_of_run(text, 0, digits=True)])


def _number(digits: str) -> int:
    return min(int(digits.lstrip("0")[:20] or "0"), _MAX)
