"""The limits of an expression: its cost is bounded, and one more finding never makes it false.

The runtime stops loops after 10,000 steps. `check_cost` keeps each step as cheap as the expression is long: nothing
grows while it is computed, and nothing of unbounded size is compared or searched.
"""

from collections.abc import Mapping
from typing import Any

from dockgate.gate.rules import _cel_ast as ast

MAX_LENGTH = 2000  # characters of an expression
_MAX_PATTERN_LENGTH = 200
_MAX_PATTERNS = 5
_FINDINGS = "findings"
_NUMBERS = (2, 3, 4)  # Type.PrimitiveType: INT64, UINT64, DOUBLE


class UnboundedError(Exception):
    """The expression may cost too much; the text names the part."""


def check_cost(document: Any) -> None:
    """Refuse a CheckedExpr of unbounded cost: raises UnboundedError."""
    types = ast.index_types(document)
    patterns = 0
    try:
        for expression in ast.walk(document.expr):
            _check_literal(expression)
            if expression.HasField("call_expr"):
                patterns += expression.call_expr.function == "matches"
                _check_call(expression.call_expr, types)
    except ast.ExpressionError as error:
        raise UnboundedError(str(error)) from None
    if patterns > _MAX_PATTERNS:
        raise UnboundedError(f"`matches` may occur at most {_MAX_PATTERNS} times")


def is_monotonic(expression: Any) -> bool:
    """Return whether one more finding never makes the result false and never shortens a resulting list.

    Decided by form only. `findings` may be used by `exists`, `filter`, `map`, `size() > N` and `in`, which `&&`, `||`,
    `?:` and loops may combine; every other use, `!` and `all` among them, is refused.
    """
    if not _has_findings(expression):
        return True
    if expression.HasField("comprehension_expr"):
        loop = ast.decode_macro(expression.comprehension_expr)
        return (
            loop.name in ("exists", "collect")
            and is_monotonic(loop.source)
            and (loop.condition is None or is_monotonic(loop.condition))
            and (loop.element is None or not _has_findings(loop.element))
        )
    operands = ast.list_operands(expression.call_expr)
    match expression.call_expr.function:
        case "_&&_" | "_||_" | "size":
            return all(map(is_monotonic, operands))
        case "_>_" | "_>=_":
            return is_monotonic(operands[0]) and not _has_findings(operands[1])
        case "_<_" | "_<=_" | "@in":
            return is_monotonic(operands[1]) and not _has_findings(operands[0])
        case "_?_:_":
            return all(map(is_monotonic, operands[1:])) and not _has_findings(operands[0])
    return bool(expression.HasField("ident_expr"))


def _has_findings(expression: Any) -> bool:
    return any(node.ident_expr.name == _FINDINGS for node in ast.walk(expression))


def _check_call(call: Any, types: Mapping[int, Any]) -> None:
    name = call.function
    kinds = [types.get(argument.id) for argument in call.args]
    if name == "_+_" and any(_is_text_or_list(kind) for kind in kinds):
        raise UnboundedError("texts and lists cannot be joined with +")
    if name in ("_==_", "_!=_") and not all(_is_scalar(kind) for kind in kinds):
        raise UnboundedError("only texts, numbers, booleans and times can be compared, no lists or messages")
    if name == "@in" and not _is_scalar(kinds[0]):
        raise UnboundedError("`in` can only look for a text, a number, a boolean or a time")
    if name == "matches":
        pattern = call.args[-1].const_expr
        text = pattern.string_value
        if not pattern.HasField("string_value") or len(text) > _MAX_PATTERN_LENGTH or "{" in text:
            raise UnboundedError(
                f"a pattern must be a constant without {{}}, with at most {_MAX_PATTERN_LENGTH} characters"
            )


def _check_literal(expression: Any) -> None:
    """Refuse messages, and lists and maps of anything but constants."""
    if expression.struct_expr.message_name:
        raise UnboundedError("messages cannot be created")
    is_literal = expression.HasField("list_expr") or expression.HasField("struct_expr")
    if is_literal and not all(item.HasField("const_expr") for item in ast.iterate_subexpressions(expression)):
        raise UnboundedError("a literal list or map may contain only constants")


def _is_scalar(kind: Any | None) -> bool:
    return kind is not None and any(kind.HasField(name) for name in ("primitive", "wrapper", "null", "well_known"))


def _is_text_or_list(kind: Any | None) -> bool:
    """Return whether a sum of this type is longer than its parts: neither a number nor a time."""
    return kind is None or not (kind.HasField("well_known") or kind.primitive in _NUMBERS or kind.wrapper in _NUMBERS)
