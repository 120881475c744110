"""Comparisons with null. In CEL `null == "x"` is false: what is not known would be no "x", and pass. Here it has no
answer, as `null < "x"` has none: a comparison whose operand may be null asks `operand <= operand` first, which is an
error for null. What is written out as `== null` asks just that, and is left as it is.
"""

from dockgate.gate.rules import _cel_tree as tree
from dockgate.gate.rules._cel_tree import Message, Part, write

_COMPARISONS = ("_==_", "_!=_", "@in")
UNKNOWN = "_<=_(null_type, null_type)"
"""part of the runtime's message where a comparison has no answer"""
_BYTES = 2
_FALSE = write([(tree.CONSTANT, _BYTES, write([(2, 0, 0)]))])
_NEW = 1_000_000
"""ids from here on are of what was added; no expression is so long"""


class NullError(Exception):
    """An expression looks for something in a list that may hold null."""


def asked(serialized: bytes) -> bytes:
    """The expression (a google.protobuf.Any) with the question before each such comparison. Raises NullError."""
    _, types = tree.checked(serialized)
    outer = []
    for number, how, value in tree.read(serialized).parts:
        inner: int | bytes = value
        if number == 2 and isinstance(value, bytes):
            inner = write(
                (field, kind, _Asking(types).asked(held))
                if field == tree.CHECKED_EXPR and isinstance(held, bytes)
                else (field, kind, held)
                for field, kind, held in tree.read(value).parts
            )
        outer.append((number, how, inner))
    return write(outer)


class _Asking:
    def __init__(self, types: dict[int, Message]) -> None:
        self._types = types
        self._made = _NEW

    def asked(self, data: bytes) -> bytes:
        """An expression's bytes."""
        given = tree.read(data)
        whole = write((number, how, self._inside(number, value)) for number, how, value in given.parts)
        call = given.message(tree.CALL)
        if call is None or call.text(2) not in _COMPARISONS:
            return whole
        first, second = tree.operands(call)
        kinds = [self._types.get(one.number(tree.ID), tree.NOTHING) for one in (first, second)]
        if call.text(2) == "@in":
            self._require_no_null_in(kinds[1])
        if any(tree.NULL in kind.fields for kind in kinds):
            return whole
        for operand, kind in zip((first, second), kinds, strict=True):
            if tree.WRAPPER in kind.fields:  # asked as it was given, or what is deep would grow beyond all bounds
                question = self._call("_<=_", write(operand.parts), write(operand.parts))
                whole = self._call("_?_:_", question, whole, self._with_id(_FALSE))
        return whole

    def _inside(self, kind: int, value: int | bytes) -> int | bytes:
        places = tree.INNER.get(kind, ())
        if not isinstance(value, bytes) or not places:
            return value
        return write(self._within(kind, places, part) for part in tree.read(value).parts)

    def _within(self, kind: int, places: tuple[int, ...], part: Part) -> Part:
        number, how, value = part
        if number not in places or not isinstance(value, bytes):
            return part
        if kind != tree.STRUCT:
            return number, how, self.asked(value)
        entry = tree.read(value).parts
        return number, how, write(self._within(tree.LIST, (3, 4), one) for one in entry)

    def _require_no_null_in(self, kind: Message) -> None:
        element = (kind.message(tree.LISTED) or tree.NOTHING).message(1)
        if element is not None and tree.WRAPPER in element.fields:
            raise NullError("what may be null is compared one by one: write `.exists(x, x == …)` in place of `in`")

    def _call(self, name: str, *operands: bytes) -> bytes:
        call = write([(2, _BYTES, name.encode()), *((3, _BYTES, one) for one in operands)])
        return self._with_id(write([(tree.CALL, _BYTES, call)]))

    def _with_id(self, expression: bytes) -> bytes:
        self._made += 1
        return write([(tree.ID, 0, self._made)]) + expression
