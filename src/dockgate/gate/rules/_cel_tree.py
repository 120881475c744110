"""A checked expression as a tree, in the messages of CEL's specification (cel.expr.CheckedExpr, `checked.proto` and
`syntax.proto`), of which the numbers of fields are here; read from the wire format of protocol buffers, and written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

CHECKED_TYPES, CHECKED_EXPR = 3, 4
ID, CONSTANT, IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 2, 3, 4, 5, 6, 7, 8, 9
RANGE, INIT, STEP, RESULT = 2, 4, 6, 7
"""of a loop"""
INNER: Mapping[int, tuple[int, ...]] = {
    SELECT: (1,),
    CALL: (1, 3),
    LIST: (1,),
    STRUCT: (2,),
    LOOP: (RANGE, INIT, 5, STEP, RESULT),
}
"""where the expressions inside of one lie; of a struct, its entries, in whose fields 3 and 4 they lie"""
NULL, PRIMITIVE, WRAPPER, WELL_KNOWN, LISTED = 2, 3, 4, 5, 6
"""kinds of a type"""
GATHERED = "@result"
"""the variable in which a loop gathers its result; nobody can write it"""

Part = tuple[int, int, int | bytes]
"""a field's number, how it is written (0: a number; 2: bytes, as long as they say; 1, 5: 8 and 4 bytes), and what"""


@dataclass(frozen=True)
class Message:
    """A message as it is written."""

    parts: tuple[Part, ...] = ()

    @cached_property
    def fields(self) -> dict[int, list[int | bytes]]:
        found: dict[int, list[int | bytes]] = {}
        for number, _, value in self.parts:
            found.setdefault(number, []).append(value)
        return found

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


NOTHING = Message()


def checked(serialized: bytes) -> tuple[Message, dict[int, Message]]:
    """The whole expression, and the type of each in it by its id. `serialized` is a google.protobuf.Any."""
    held = read(serialized).message(2) or NOTHING
    types = {entry.number(1): entry.message(2) or NOTHING for entry in held.messages(CHECKED_TYPES)}
    return held.message(CHECKED_EXPR) or NOTHING, types


def operands(call: Message) -> list[Message]:
    """What it is called with, what it is called on before all."""
    return [*call.messages(1), *call.messages(3)]


def read(data: bytes) -> Message:
    parts: list[Part] = []
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        value: int | bytes
        if key & 7 == 0:
            value, at = _number(data, at)
        elif key & 7 == 2:
            size, at = _number(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = 8 if key & 7 == 1 else 4
            value, at = data[at : at + size], at + size
        parts.append((key >> 3, key & 7, value))
    return Message(tuple(parts))


def write(parts: Iterable[Part]) -> bytes:
    written = bytearray()
    for number, how, value in parts:
        written += _written(number << 3 | how)
        if isinstance(value, int):
            written += _written(value)
        else:
            written += (_written(len(value)) if how == 2 else b"") + value
    return bytes(written)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _written(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
