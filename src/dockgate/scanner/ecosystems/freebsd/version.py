"""The order of FreeBSD versions: VERSION[_REVISION][,EPOCH] (libpkg/pkg_version.c).

A version consists of blocks, separated by "+", of components: a number, a letter and another number, missing ones 0. A
version sorts before its own prefix if it continues with less than 0, so no simple byte string encodes it.
"""

import re
from functools import total_ordering
from itertools import zip_longest

_MAX = 2**63 - 1  # the largest number; pkg replaces larger ones by it
# Words that are a component of their own. Other words count by their first letter, with 2 for "a".
_STAGES = {"pl": 0, "snap": 20, "alpha": 2, "beta": 3, "pre": 17, "rc": 19}
# A number with a letter and a number, unless the letters are a stage: it begins a component. Or a word, or a star.
_COMPONENT = rf"([0-9]+)(?:(?!(?:{'|'.join(_STAGES)})(?![a-z]))([a-z]+)([0-9]*))?|([a-z]+)([0-9]*)|(\*)"

Component = tuple[int, int, int]

_ZERO: Component = (0, 0, 0)


@total_ordering
class FreeBSDVersion:
    """A version that compares like pkg's."""

    __slots__ = ("blocks", "epoch", "revision")

    def __init__(self, version: str) -> None:
        """Parse any text: pkg ignores what precedes a dash."""
        plain = version.rpartition("-")[2]
        front, mark, revision = plain.rpartition("_")
        main, comma, epoch = (revision if mark else plain).rpartition(",")
        self.epoch = _parse_number(epoch) if comma else 0
        self.revision = _parse_number(revision) if mark else 0
        blocks = [
            _parse_components(block) for block in (front if mark else main if comma else plain).lower().split("+")
        ]
        while blocks and not blocks[-1]:
            blocks.pop()
        self.blocks = tuple(blocks)

    def __eq__(self, operand: object) -> bool:
        return isinstance(operand, FreeBSDVersion) and self._make_key() == operand._make_key()

    def __lt__(self, operand: "FreeBSDVersion") -> bool:
        if self.epoch != operand.epoch:
            return self.epoch < operand.epoch
        for left_block, right_block in zip_longest(self.blocks, operand.blocks, fillvalue=()):
            for own_part, other_part in zip_longest(left_block, right_block, fillvalue=_ZERO):
                if own_part != other_part:
                    return own_part < other_part
        return self.revision < operand.revision

    def __hash__(self) -> int:
        return hash(self._make_key())

    def _make_key(self) -> tuple[object, ...]:
        return self.epoch, self.blocks, self.revision


def _parse_components(block: str) -> tuple[Component, ...]:
    """Return the components of a block in lower case, without trailing zeros."""
    components: list[Component] = [] if re.match(r"[0-9a-z*]|\Z", block) else [(-1, 0, 0)]
    for digits, word, patch, single_word, single_patch, star in re.findall(_COMPONENT, block):
        if star:
            components.append((-2, 0, 0))
            break
        name, patch = word or single_word, patch or single_patch
        letter = _STAGES.get(name, ord(name[0]) - ord("a") + 2) if name else 0
        number = _parse_number(digits) if digits else -1
        components.append((number, letter, 0 if not name else _parse_number(patch) if patch else -1))
    while components and components[-1] == _ZERO:
        components.pop()
    return tuple(components)


def _parse_number(text: str) -> int:
    """Return the number at the beginning of the text, which may have a sign."""
    digits = re.match(r"\+?0*([0-9]*)", text)
    return min(int((digits and digits[1][:20]) or "0"), _MAX)
