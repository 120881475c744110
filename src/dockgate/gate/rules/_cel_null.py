"""Comparisons with null: an error instead of false.

In CEL `null == "x"` is false, so an unknown value would pass. Here it is an error, as `null < "x"` is: before a
comparison, each operand that may be null is evaluated as `operand <= operand`, which fails for null. A comparison with
the literal `null` asks whether the value is known, and stays as it is.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any

from dockgate.gate.rules import _cel_ast as ast

# Part of the runtime's message where an operand is null.
NULL_OPERAND = "_<=_(null_type, null_type)"
_COMPARISONS = ("_==_", "_!=_", "@in")
_FIRST_NEW_ID = 1_000_000  # above all ids of an expression of 2,000 characters


class NullError(Exception):
    """An expression searches a list that may hold null."""


def add_null_checks(document: Any) -> None:
    """Add a check before each comparison of a CheckedExpr, in place. Raises NullError."""
    _add_checks(document.expr, ast.index_types(document), count(_FIRST_NEW_ID))


def _add_checks(expression: Any, types: Mapping[int, Any], ids: "count[int]") -> None:
    compared_operands = []
    if expression.call_expr.function in _COMPARISONS:
        compared_operands = _copy_nullable_operands(expression.call_expr, types)
    for child in ast.iterate_subexpressions(expression):
        _add_checks(child, types, ids)
    for operand in compared_operands:
        comparison = _copy(expression)
        expression.Clear()
        expression.id = next(ids)
        expression.call_expr.function = "_?_:_"
        check, consequence, otherwise = (expression.call_expr.args.add() for _ in range(3))
        check.id, otherwise.id = next(ids), next(ids)
        check.call_expr.function = "_<=_"
        check.call_expr.args.extend([operand, operand])
        consequence.CopyFrom(comparison)
        otherwise.const_expr.bool_value = False


def _copy_nullable_operands(call: Any, types: Mapping[int, Any]) -> list[Any]:
    """Copies of the operands that may be null, without checks of their own.

    Nested checks would double at each level.
    """
    operands = [(operand, types.get(operand.id)) for operand in ast.list_operands(call)]
    kind = operands[-1][1]
    if call.function == "@in" and kind is not None and kind.list_type.elem_type.HasField("wrapper"):
        raise NullError("compare values that may be null one by one: write `.exists(x, x == …)` instead of `in`")
    if any(kind is not None and kind.HasField("null") for _, kind in operands):
        return []
    return [_copy(operand) for operand, kind in operands if kind is not None and kind.HasField("wrapper")]


def _copy(expression: Any) -> Any:
    duplicate = type(expression)()
    duplicate.CopyFrom(expression)
    return duplicate
