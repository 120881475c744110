"""Checked CEL expressions: read from the protocol buffer wire format, and written.

Field numbers are those of cel.expr.CheckedExpr and cel.expr.Expr (`checked.proto` and `syntax.proto` of cel-spec).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

CHECKED_TYPES, CHECKED_EXPR = 3, 4
ID, CONSTANT, IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 2, 3, 4, 5, 6, 7, 8, 9
# Fields of a loop (`Comprehension`).
RANGE, INIT, STEP, RESULT = 2, 4, 6, 7
# Where the operands of each kind of expression are. A struct has entries; their fields 3 and 4 are expressions.
CHILDREN: Mapping[int, tuple[int, ...]] = {
    SELECT: (1,),
    CALL: (1, 3),
    LIST: (1,),
    STRUCT: (2,),
    LOOP: (RANGE, INIT, 5, STEP, RESULT),
}
STRUCT_ENTRY = (3, 4)
# Kinds of a type.
NULL, PRIMITIVE, WRAPPER, WELL_KNOWN, LIST_TYPE = 2, 3, 4, 5, 6

# A field's number, its wire type (0: varint; 1: 8 bytes; 2: length and bytes; 5: 4 bytes), and its value.
Part = tuple[int, int, int | bytes]


@dataclass(frozen=True)
class Message:
    """A protocol buffer message by the numbers of its fields."""

    parts: tuple[Part, ...] = ()

    @cached_property
    def fields(self) -> dict[int, list[int | bytes]]:
        fields: dict[int, list[int | bytes]] = {}
        for number, _, value in self.parts:
            fields.setdefault(number, []).append(value)
        return fields

    def message(self, number: int) -> "Message | None":
        return next(iter(self.messages(number)), None)

    def messages(self, number: int) -> "list[Message]":
        return [read(value) for value in self.fields.get(number, ()) if isinstance(value, bytes)]

    def text(self, number: int) -> str:
        value = (self.fields.get(number) or [b""])[0]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""

    def number(self, number: int) -> int:
        value = (self.fields.get(number) or [0])[0]
        return value if isinstance(value, int) else 0


EMPTY = Message()


class UnknownLoopError(Exception):
    """A loop that does not come from one of CEL's standard macros."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A loop by the macro that it comes from: `source.all(x, condition)`, `exists` or `exists_one`.

    `map` and `filter` are both "collect"; `element` is what they add to the list. A part that a macro lacks is None.
    """

    name: str
    source: Message
    condition: Message | None
    element: Message | None


def checked(serialized: bytes) -> tuple[Message, dict[int, Message]]:
    """The expression inside a google.protobuf.Any, and the type of each subexpression by its id."""
    document = read(serialized).message(2) or EMPTY
    types = {entry.number(1): entry.message(2) or EMPTY for entry in document.messages(CHECKED_TYPES)}
    return document.message(CHECKED_EXPR) or EMPTY, types


def operands(call: Message) -> list[Message]:
    """The target of a call, if it has one, and its arguments."""
    return [*call.messages(1), *call.messages(3)]


def macro(loop: Message) -> Macro:
    """Decode what the parser made of a macro. Raises UnknownLoopError."""
    source = loop.message(RANGE) or EMPTY
    step = (loop.message(STEP) or EMPTY).message(CALL) or EMPTY
    condition = None
    if step.text(2) in ("_&&_", "_||_"):
        return Macro("all" if step.text(2) == "_&&_" else "exists", source, operands(step)[1], None)
    if step.text(2) == "_?_:_":
        condition, addition, _ = operands(step)
        step = addition.message(CALL) or EMPTY
    addend = operands(step)[1] if step.text(2) == "_+_" else EMPTY
    elements = (addend.message(LIST) or EMPTY).messages(1)
    if len(elements) == 1:
        return Macro("collect", source, condition, elements[0])
    if condition and CONSTANT in addend.fields:
        return Macro("exists_one", source, condition, None)
    raise UnknownLoopError("only all, exists, exists_one, map and filter can loop")


def walk(expression: Message) -> Iterator[Message]:
    """The expression and all written inside it: of a loop, the parts of its macro. Raises UnknownLoopError."""
    yield expression
    for child in _children(expression):
        yield from walk(child)


def _children(expression: Message) -> Iterator[Message]:
    if loop := expression.message(LOOP):
        parts = macro(loop)
        yield from filter(None, (parts.source, parts.condition, parts.element))
    for kind in (SELECT, CALL, LIST):
        node = expression.message(kind) or EMPTY
        for number in CHILDREN[kind]:
            yield from node.messages(number)
    for entry in (expression.message(STRUCT) or EMPTY).messages(2):
        for number in STRUCT_ENTRY:
            yield from entry.messages(number)


def read(data: bytes) -> Message:
    """Decode a message; its fields stay bytes until they are asked for."""
    parts: list[Part] = []
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        value: int | bytes
        if key & 7 == 0:
            value, position = _read_varint(data, position)
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            if size is None:
                size, position = _read_varint(data, position)
            value, position = data[position : position + size], position + size
        parts.append((key >> 3, key & 7, value))
    return Message(tuple(parts))


def write(parts: Iterable[Part]) -> bytes:
    """Encode a message."""
    data = bytearray()
    for number, wire_type, value in parts:
        data += _varint(number << 3 | wire_type)
        if isinstance(value, int):
            data += _varint(value)
        else:
            data += (_varint(len(value)) if wire_type == 2 else b"") + value
    return bytes(data)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])
