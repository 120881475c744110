"""Checked CEL expressions as messages (cel.expr.CheckedExpr).

Source: `checked.proto` and `syntax.proto` of cel-spec.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from dockgate.gate.rules._cel_messages import Messages, build_message_classes, build_message_pool

_PACKAGE = "dockgate.cel"
# The fields that are used here; protobuf keeps all others as they are.
_MESSAGES: Messages = {
    "CheckedExpr": {"type_map": (3, "TypeEntry[]"), "expr": (4, "Expr")},
    "TypeEntry": {"key": (1, "int64"), "value": (2, "Type")},
    "Type": {
        "null": (2, "int64"),
        "primitive": (3, "int64"),
        "wrapper": (4, "int64"),
        "well_known": (5, "int64"),
        "list_type": (6, "ListType"),
    },
    "ListType": {"elem_type": (1, "Type")},
    "Expr": {
        "id": (2, "int64"),
        "const_expr": (3, "Constant"),
        "ident_expr": (4, "Ident"),
        "select_expr": (5, "Select"),
        "call_expr": (6, "Call"),
        "list_expr": (7, "CreateList"),
        "struct_expr": (8, "CreateStruct"),
        "comprehension_expr": (9, "Comprehension"),
    },
    "Constant": {"bool_value": (2, "bool"), "string_value": (6, "string")},
    "Ident": {"name": (1, "string")},
    "Select": {"operand": (1, "Expr")},
    "Call": {"target": (1, "Expr"), "function": (2, "string"), "args": (3, "Expr[]")},
    "CreateList": {"elements": (1, "Expr[]")},
    "CreateStruct": {"message_name": (1, "string"), "entries": (2, "Entry[]")},
    "Entry": {"map_key": (3, "Expr"), "value": (4, "Expr")},
    "Comprehension": {
        "iter_range": (2, "Expr"),
        "accu_init": (4, "Expr"),
        "loop_condition": (5, "Expr"),
        "loop_step": (6, "Expr"),
        "result": (7, "Expr"),
    },
}


class ExpressionError(Exception):
    """An expression is nested too deeply, or has a loop that no standard macro of CEL makes."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A loop by the macro that it comes from: `source.all(x, condition)`, `exists` or `exists_one`.

    `map` and `filter` are both "collect"; `element` is what they add to the list. A part that a macro lacks is None.
    """

    name: str
    source: Any
    condition: Any | None
    element: Any | None


def parse(serialized_ast: bytes) -> Any:
    """The CheckedExpr inside a google.protobuf.Any. Raises ExpressionError."""
    from google.protobuf import any_pb2, message  # type: ignore[import-untyped]

    try:
        return _build_classes()["CheckedExpr"].FromString(any_pb2.Any.FromString(serialized_ast).value)
    except message.DecodeError as error:
        raise ExpressionError("it is nested too deeply") from error


def serialize_expression(document: Any, template: bytes) -> bytes:
    """The CheckedExpr inside a google.protobuf.Any, of the same type as `template`."""
    from google.protobuf import any_pb2

    envelope = any_pb2.Any.FromString(template)
    envelope.value = document.SerializeToString()
    serialized_ast: bytes = envelope.SerializeToString()
    return serialized_ast


def index_types(document: Any) -> dict[int, Any]:
    """The type of each expression by its id."""
    return {entry.key: entry.value for entry in document.type_map}


def list_operands(call: Any) -> list[Any]:
    """The target of a call, if it has one, and its arguments."""
    return [*([call.target] if call.HasField("target") else []), *call.args]


def decode_macro(loop: Any) -> Macro:
    """Decode what the parser made of a macro. Raises ExpressionError."""
    step, condition = loop.loop_step.call_expr, None
    if step.function in ("_&&_", "_||_"):
        return Macro("all" if step.function == "_&&_" else "exists", loop.iter_range, step.args[1], None)
    if step.function == "_?_:_":
        condition, step = step.args[0], step.args[1].call_expr
    addend = step.args[1] if step.function == "_+_" else loop.accu_init
    if len(addend.list_expr.elements) == 1:
        return Macro("collect", loop.iter_range, condition, addend.list_expr.elements[0])
    if condition is not None and step.function == "_+_" and addend.HasField("const_expr"):
        return Macro("exists_one", loop.iter_range, condition, None)
    raise ExpressionError("only all, exists, exists_one, map and filter can loop")


def walk(expression: Any) -> Iterator[Any]:
    """The expression and all written inside it: of a loop, the parts of its macro. Raises ExpressionError."""
    yield expression
    if expression.HasField("comprehension_expr"):
        loop = decode_macro(expression.comprehension_expr)
        children = [part for part in (loop.source, loop.condition, loop.element) if part is not None]
    else:
        children = list(iterate_subexpressions(expression))
    for child in children:
        yield from walk(child)


def iterate_subexpressions(expression: Any) -> Iterator[Any]:
    """The expressions directly inside this one, as the parser made them."""
    if expression.HasField("select_expr"):
        yield expression.select_expr.operand
    yield from list_operands(expression.call_expr)
    yield from expression.list_expr.elements
    for entry in expression.struct_expr.entries:
        yield from (part for name in ("map_key", "value") if entry.HasField(name) for part in [getattr(entry, name)])
    if expression.HasField("comprehension_expr"):
        loop = expression.comprehension_expr
        yield from (loop.iter_range, loop.accu_init, loop.loop_condition, loop.loop_step, loop.result)


@cache
def _build_classes() -> dict[str, Any]:
    return build_message_classes(build_message_pool(_PACKAGE, "proto2", _MESSAGES), _PACKAGE, _MESSAGES)
