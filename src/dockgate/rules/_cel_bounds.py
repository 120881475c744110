"""What an expression may cost. The runtime counts the steps of its loops, and ends it after 10,000; here is what makes
each step cost no more than the expression is long: nothing that grows while it is computed, and nothing that compares
or searches what has no bound.

It is asked of the checked expression, in the messages of CEL's specification (cel.expr.CheckedExpr, `checked.proto` and
`syntax.proto`), of which the numbers of fields are below.
"""

from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 2000
"""characters of an expression"""
_LONGEST_PATTERN = 200
_PATTERNS = 5

_CHECKED_TYPES, _CHECKED_EXPR = 3, 4
_ID, _CONSTANT, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _LOOP = 2, 3, 4, 5, 6, 7, 8, 9
_INNER = {_SELECT: (1,), _CALL: (1, 3), _LIST: (1,), _STRUCT: (2,), _LOOP: (2, 4, 5, 6, 7)}
"""where the expressions inside of one lie; of a struct, its entries"""
_PRIMITIVE, _WRAPPER, _NULL, _WELL_KNOWN = 3, 4, 2, 5
_SCALARS = (_PRIMITIVE, _WRAPPER, _NULL, _WELL_KNOWN)
_NUMBERS = (2, 3, 4)
"""Type.PrimitiveType: INT64, UINT64, DOUBLE"""
_RESULT = "@result"
"""the variable in which a loop gathers its result; nobody can write it"""


class UnboundedError(Exception):
    """The expression may cost too much; the text says what of it."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A message as it is written: field number -> what stands there, a number or bytes."""

    fields: dict[int, list[int | bytes]]

    def message(self, number: int) -> "_Message | None":
        return next(iter(self.messages(number)), None)

    def messages(self, number: int) -> "list[_Message]":
        return [_read(value) for value in self.fields.get(number, ()) if isinstance(value, bytes)]

    def text(self, number: int) -> str:
        value = (self.fields.get(number) or [b""])[0]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""

    def number(self, number: int) -> int:
        value = (self.fields.get(number) or [0])[0]
        return value if isinstance(value, int) else 0


def check(serialized: bytes) -> None:
    """Raises UnboundedError. `serialized` is the checked expression inside of a google.protobuf.Any."""
    checked = _read(serialized).message(2) or _Message({})
    types = {entry.number(1): entry.message(2) or _Message({}) for entry in checked.messages(_CHECKED_TYPES)}
    whole = checked.message(_CHECKED_EXPR)
    if whole is None:
        raise UnboundedError("it cannot be read")
    patterns = 0
    for expression, gathers in _walk(whole, gathers=False):
        if (_LIST in expression.fields and not gathers) or _STRUCT in expression.fields:
            _constant(expression)
        call = expression.message(_CALL)
        if call is not None:
            patterns += call.text(2) == "matches"
            _call(call, types, gathers)
    if patterns > _PATTERNS:
        raise UnboundedError(f"`matches` may stand in it {_PATTERNS} times")


def _walk(expression: _Message, *, gathers: bool) -> Iterator[tuple[_Message, bool]]:
    """Every expression in this one, and whether it is part of how a loop gathers its result."""
    yield expression, gathers
    for kind, places in _INNER.items():
        held = expression.message(kind)
        if held is None:
            continue
        for place in places:
            for inner in held.messages(place):
                if kind == _STRUCT:
                    for entry in (*inner.messages(3), *inner.messages(4)):
                        yield from _walk(entry, gathers=False)
                else:
                    own = kind == _LOOP and place == 6
                    yield from _walk(inner, gathers=own or (gathers and _adds(expression, inner)))


def _adds(expression: _Message, inner: _Message) -> bool:
    """Whether this is `@result + [x]`, or a choice between that and @result, and `inner` part of that form itself."""
    call = expression.message(_CALL)
    if call is None:
        return False
    if call.text(2) == "_?_:_":
        return _CALL in inner.fields and _grows(inner)
    return call.text(2) == "_+_" and _grows(expression) and _LIST in inner.fields


def _grows(expression: _Message) -> bool:
    call = expression.message(_CALL) or _Message({})
    first, *others = call.messages(3) or [_Message({})]
    ident = first.message(_IDENT)
    added = others[0].message(_LIST) if len(others) == 1 else None
    return ident is not None and ident.text(1) == _RESULT and added is not None and len(added.messages(1)) == 1


def _call(call: _Message, types: dict[int, _Message], gathers: bool) -> None:
    name, operands = call.text(2), call.messages(3)
    kinds = [types.get(operand.number(_ID), _Message({})) for operand in operands]
    if name == "_+_" and not gathers and any(_grown(kind) for kind in kinds):
        raise UnboundedError("texts and lists cannot be added to each other")
    if name in ("_==_", "_!=_") and not all(_scalar(kind) for kind in kinds):
        raise UnboundedError("only texts, numbers, booleans and times can be compared, no lists or messages")
    if name == "@in" and not _scalar(kinds[0]):
        raise UnboundedError("only a text, a number, a boolean or a time can be looked for in a list")
    if name == "matches":
        constant = operands[-1].message(_CONSTANT) if operands else None
        if constant is None or len(pattern := constant.text(6)) > _LONGEST_PATTERN or "{" in pattern:
            raise UnboundedError(f"a pattern is a constant without {{}}, at most {_LONGEST_PATTERN} characters long")


def _constant(expression: _Message) -> None:
    listed, struct = expression.message(_LIST), expression.message(_STRUCT)
    inner = listed.messages(1) if listed else []
    if struct is not None:
        if struct.text(1):
            raise UnboundedError("no messages can be made")
        inner = [one for entry in struct.messages(2) for one in (*entry.messages(3), *entry.messages(4))]
    if any(_CONSTANT not in one.fields for one in inner):
        raise UnboundedError("a list or map that is written out holds constants alone")


def _scalar(kind: _Message) -> bool:
    return any(number in kind.fields for number in _SCALARS)


def _grown(kind: _Message) -> bool:
    """Whether a sum of this type is longer than its parts: no number, and no time."""
    if _WELL_KNOWN in kind.fields:
        return False
    primitive = kind.number(_PRIMITIVE) or kind.number(_WRAPPER)
    return primitive not in _NUMBERS


def _read(data: bytes) -> _Message:
    """The wire format of protocol buffers: varints, and what is as long as it says; the rest is passed over."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = 8 if key & 7 == 1 else 4
            value, at = data[at : at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return _Message(fields)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
