"""What an expression may cost. The runtime counts the steps of its loops, and ends it after 10,000; here is what makes
each step cost no more than the expression is long: nothing that grows while it is computed, and nothing that compares
or searches what has no bound.
"""

from collections.abc import Iterator

from dockgate.gate.rules import _cel_tree as tree
from dockgate.gate.rules._cel_tree import Message

LONGEST = 2000
"""characters of an expression"""
_LONGEST_PATTERN = 200
_PATTERNS = 5

_SCALARS = (tree.PRIMITIVE, tree.WRAPPER, tree.NULL, tree.WELL_KNOWN)
_NUMBERS = (2, 3, 4)
"""Type.PrimitiveType: INT64, UINT64, DOUBLE"""


class UnboundedError(Exception):
    """The expression may cost too much; the text says what of it."""


def check(serialized: bytes) -> None:
    """Raises UnboundedError. `serialized` is the checked expression inside of a google.protobuf.Any."""
    whole, types = tree.checked(serialized)
    if whole is tree.NOTHING:
        raise UnboundedError("it cannot be read")
    patterns = 0
    for expression, gathers in _walk(whole, gathers=False):
        if (tree.LIST in expression.fields and not gathers) or tree.STRUCT in expression.fields:
            _constant(expression)
        call = expression.message(tree.CALL)
        if call is not None:
            patterns += call.text(2) == "matches"
            _call(call, types, gathers)
    if patterns > _PATTERNS:
        raise UnboundedError(f"`matches` may stand in it {_PATTERNS} times")


def _walk(expression: Message, *, gathers: bool) -> Iterator[tuple[Message, bool]]:
    """Every expression in this one, and whether it is part of how a loop gathers its result."""
    yield expression, gathers
    for kind, places in tree.INNER.items():
        held = expression.message(kind)
        if held is None:
            continue
        for place in places:
            for inner in held.messages(place):
                if kind == tree.STRUCT:
                    for entry in (*inner.messages(3), *inner.messages(4)):
                        yield from _walk(entry, gathers=False)
                else:
                    own = kind == tree.LOOP and place == tree.STEP
                    yield from _walk(inner, gathers=own or (gathers and _adds(expression, inner)))


def _adds(expression: Message, inner: Message) -> bool:
    """Whether this is `@result + [x]`, or a choice between that and @result, and `inner` part of that form itself."""
    call = expression.message(tree.CALL)
    if call is None:
        return False
    if call.text(2) == "_?_:_":
        return tree.CALL in inner.fields and _grows(inner)
    return call.text(2) == "_+_" and _grows(expression) and tree.LIST in inner.fields


def _grows(expression: Message) -> bool:
    call = expression.message(tree.CALL) or tree.NOTHING
    first, *others = call.messages(3) or [tree.NOTHING]
    ident = first.message(tree.IDENT)
    added = others[0].message(tree.LIST) if len(others) == 1 else None
    return ident is not None and ident.text(1) == tree.GATHERED and added is not None and len(added.messages(1)) == 1


def _call(call: Message, types: dict[int, Message], gathers: bool) -> None:
    name, operands = call.text(2), call.messages(3)
    kinds = [types.get(operand.number(tree.ID), tree.NOTHING) for operand in operands]
    if name == "_+_" and not gathers and any(_grown(kind) for kind in kinds):
        raise UnboundedError("texts and lists cannot be added to each other")
    if name in ("_==_", "_!=_") and not all(_scalar(kind) for kind in kinds):
        raise UnboundedError("only texts, numbers, booleans and times can be compared, no lists or messages")
    if name == "@in" and not _scalar(kinds[0]):
        raise UnboundedError("only a text, a number, a boolean or a time can be looked for in a list")
    if name == "matches":
        constant = operands[-1].message(tree.CONSTANT) if operands else None
        if constant is None or len(pattern := constant.text(6)) > _LONGEST_PATTERN or "{" in pattern:
            raise UnboundedError(f"a pattern is a constant without {{}}, at most {_LONGEST_PATTERN} characters long")


def _constant(expression: Message) -> None:
    listed, struct = expression.message(tree.LIST), expression.message(tree.STRUCT)
    inner = listed.messages(1) if listed else []
    if struct is not None:
        if struct.text(1):
            raise UnboundedError("no messages can be made")
        inner = [one for entry in struct.messages(2) for one in (*entry.messages(3), *entry.messages(4))]
    if any(tree.CONSTANT not in one.fields for one in inner):
        raise UnboundedError("a list or map that is written out holds constants alone")


def _scalar(kind: Message) -> bool:
    return any(number in kind.fields for number in _SCALARS)


def _grown(kind: Message) -> bool:
    """Whether a sum of this type is longer than its parts: no number, and no time."""
    if tree.WELL_KNOWN in kind.fields:
        return False
    primitive = kind.number(tree.PRIMITIVE) or kind.number(tree.WRAPPER)
    return primitive not in _NUMBERS
