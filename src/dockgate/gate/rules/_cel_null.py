"""Comparisons with null: an error instead of false.

In CEL `null == "x"` is false, so an unknown value would pass. Here it is an error, as `null < "x"` is: before a
comparison, each operand that may be null is evaluated as `operand <= operand`, which fails for null. A comparison with
the literal `null` asks whether the value is known, and stays as it is.
"""

from dockgate.gate.rules import _cel_ast as ast
from dockgate.gate.rules._cel_ast import Message, Part, write

# Part of the runtime's message where an operand is null.
NULL_OPERAND = "_<=_(null_type, null_type)"
_COMPARISONS = ("_==_", "_!=_", "@in")
_BYTES = 2
_FALSE = write([(ast.CONSTANT, _BYTES, write([(2, 0, 0)]))])
_FIRST_NEW_ID = 1_000_000  # above all ids of an expression of 2,000 characters


class NullError(Exception):
    """An expression searches a list that may hold null."""


def with_null_checks(serialized: bytes) -> bytes:
    """The expression (a google.protobuf.Any) with a check before each comparison. Raises NullError."""
    _, types = ast.checked(serialized)
    rewriter = _Rewriter(types)
    return write(
        (number, wire_type, rewriter.rewrite_document(value) if number == 2 and isinstance(value, bytes) else value)
        for number, wire_type, value in ast.read(serialized).parts
    )


class _Rewriter:
    def __init__(self, types: dict[int, Message]) -> None:
        self._types = types
        self._last_id = _FIRST_NEW_ID

    def rewrite_document(self, data: bytes) -> bytes:
        """The bytes of a CheckedExpr."""
        return write(
            (number, kind, self._rewrite(value) if number == ast.CHECKED_EXPR and isinstance(value, bytes) else value)
            for number, kind, value in ast.read(data).parts
        )

    def _rewrite(self, data: bytes) -> bytes:
        """The bytes of an expression."""
        original = ast.read(data)
        result = write((number, kind, self._rewrite_children(number, value)) for number, kind, value in original.parts)
        call = original.message(ast.CALL)
        if call is None or call.text(2) not in _COMPARISONS:
            return result
        operands = ast.operands(call)
        kinds = [self._types.get(operand.number(ast.ID), ast.EMPTY) for operand in operands]
        if call.text(2) == "@in":
            _require_no_null_in(kinds[1])
        if any(ast.NULL in kind.fields for kind in kinds):
            return result
        for operand, kind in zip(operands, kinds, strict=True):
            if ast.WRAPPER in kind.fields:
                # The check has the operand without checks of its own: nested ones would double at each level.
                check = self._call("_<=_", write(operand.parts), write(operand.parts))
                result = self._call("_?_:_", check, result, self._with_id(_FALSE))
        return result

    def _rewrite_children(self, kind: int, value: int | bytes) -> int | bytes:
        numbers = ast.CHILDREN.get(kind, ())
        if not isinstance(value, bytes) or not numbers:
            return value
        return write(self._rewrite_child(kind, numbers, part) for part in ast.read(value).parts)

    def _rewrite_child(self, kind: int, numbers: tuple[int, ...], part: Part) -> Part:
        number, wire_type, value = part
        if number not in numbers or not isinstance(value, bytes):
            return part
        if kind != ast.STRUCT:
            return number, wire_type, self._rewrite(value)
        entry = ast.read(value).parts
        return number, wire_type, write(self._rewrite_child(ast.LIST, ast.STRUCT_ENTRY, item) for item in entry)

    def _call(self, name: str, *operands: bytes) -> bytes:
        call = write([(2, _BYTES, name.encode()), *((3, _BYTES, operand) for operand in operands)])
        return self._with_id(write([(ast.CALL, _BYTES, call)]))

    def _with_id(self, expression: bytes) -> bytes:
        self._last_id += 1
        return write([(ast.ID, 0, self._last_id)]) + expression


def _require_no_null_in(kind: Message) -> None:
    element = (kind.message(ast.LIST_TYPE) or ast.EMPTY).message(1)
    if element is not None and ast.WRAPPER in element.fields:
        raise NullError("compare values that may be null one by one: write `.exists(x, x == …)` instead of `in`")
