"""What an expression may contain: its cost is bounded, and one more finding never makes it false.

The runtime stops loops after 10,000 steps. `check_cost` keeps each step as cheap as the expression is long: nothing
grows while it is computed, and nothing of unbounded size is compared or searched.
"""

from dockgate.gate.rules import _cel_ast as ast
from dockgate.gate.rules._cel_ast import Message

MAX_LENGTH = 2000  # characters of an expression
_MAX_PATTERN_LENGTH = 200
_MAX_PATTERNS = 5
_FINDINGS = "findings"
_SCALARS = (ast.PRIMITIVE, ast.WRAPPER, ast.NULL, ast.WELL_KNOWN)
_NUMBERS = (2, 3, 4)  # Type.PrimitiveType: INT64, UINT64, DOUBLE


class UnboundedError(Exception):
    """The expression may cost too much; the text names the part."""


def check_cost(serialized: bytes) -> None:
    """Refuse an expression of unbounded cost: raises UnboundedError.

    `serialized` is the checked expression inside a google.protobuf.Any.
    """
    root, types = ast.checked(serialized)
    if root is ast.EMPTY:
        raise UnboundedError("it cannot be read")
    patterns = 0
    try:
        for expression in ast.walk(root):
            _check_literal(expression)
            if call := expression.message(ast.CALL):
                patterns += call.text(2) == "matches"
                _check_call(call, types)
    except ast.UnknownLoopError as error:
        raise UnboundedError(str(error)) from None
    if patterns > _MAX_PATTERNS:
        raise UnboundedError(f"`matches` is allowed {_MAX_PATTERNS} times")


def is_monotonic(expression: Message) -> bool:
    """Whether one more finding never turns it from true to false, nor removes anything from its list.

    Decided by form only. `findings` may be used by `exists`, `filter`, `map`, `size() > N` and `in`, which `&&`, `||`,
    `?:` and loops may combine; every other use, `!` and `all` among them, is refused.
    """
    if not _uses_findings(expression):
        return True
    if loop := expression.message(ast.LOOP):
        macro = ast.macro(loop)
        return (
            macro.name in ("exists", "collect")
            and is_monotonic(macro.source)
            and (macro.condition is None or is_monotonic(macro.condition))
            and (macro.element is None or not _uses_findings(macro.element))
        )
    call = expression.message(ast.CALL)
    if call is None:
        return ast.IDENT in expression.fields
    operands = ast.operands(call)
    match call.text(2):
        case "_&&_" | "_||_" | "size":
            return all(map(is_monotonic, operands))
        case "_>_" | "_>=_":
            return is_monotonic(operands[0]) and not _uses_findings(operands[1])
        case "_<_" | "_<=_" | "@in":
            return is_monotonic(operands[1]) and not _uses_findings(operands[0])
        case "_?_:_":
            return all(map(is_monotonic, operands[1:])) and not _uses_findings(operands[0])
    return False


def _uses_findings(expression: Message) -> bool:
    idents = (node.message(ast.IDENT) for node in ast.walk(expression))
    return any(ident is not None and ident.text(1) == _FINDINGS for ident in idents)


def _check_call(call: Message, types: dict[int, Message]) -> None:
    name, arguments = call.text(2), call.messages(3)
    kinds = [types.get(argument.number(ast.ID), ast.EMPTY) for argument in arguments]
    if name == "_+_" and any(_is_text_or_list(kind) for kind in kinds):
        raise UnboundedError("texts and lists cannot be added to each other")
    if name in ("_==_", "_!=_") and not all(_is_scalar(kind) for kind in kinds):
        raise UnboundedError("only texts, numbers, booleans and times can be compared, no lists or messages")
    if name == "@in" and not _is_scalar(kinds[0]):
        raise UnboundedError("only a text, a number, a boolean or a time can be looked for in a list")
    if name == "matches":
        constant = arguments[-1].message(ast.CONSTANT) if arguments else None
        if constant is None or len(pattern := constant.text(6)) > _MAX_PATTERN_LENGTH or "{" in pattern:
            raise UnboundedError(f"a pattern is a constant without {{}}, at most {_MAX_PATTERN_LENGTH} characters long")


def _check_literal(expression: Message) -> None:
    """Refuse messages, and lists and maps of anything but constants."""
    struct = expression.message(ast.STRUCT) or ast.EMPTY
    if struct.text(1):
        raise UnboundedError("no messages can be made")
    items = (expression.message(ast.LIST) or ast.EMPTY).messages(1)
    items += [item for entry in struct.messages(2) for number in ast.STRUCT_ENTRY for item in entry.messages(number)]
    if any(ast.CONSTANT not in item.fields for item in items):
        raise UnboundedError("a literal list or map may contain only constants")


def _is_scalar(kind: Message) -> bool:
    return any(number in kind.fields for number in _SCALARS)


def _is_text_or_list(kind: Message) -> bool:
    """Whether a sum of this type is longer than its parts: neither a number nor a time."""
    if ast.WELL_KNOWN in kind.fields:
        return False
    primitive = kind.number(ast.PRIMITIVE) or kind.number(ast.WRAPPER)
    return primitive not in _NUMBERS
