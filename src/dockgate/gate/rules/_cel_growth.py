"""What becomes of an expression when there is one more finding. One that is true has to stay true, or more findings
could turn a rejection into an approval, and a waiver an approval into a rejection.

Each part of it is the same whatever is found, grows, shrinks, or may do either. A truth grows that never turns from
true to false, a list to which things are only added, a number that never gets less. That is sound and not complete:
what is not seen to grow is refused.
"""

from collections.abc import Mapping
from enum import Enum

from dockgate.gate.rules import _cel_tree as tree
from dockgate.gate.rules._cel_tree import Message

FINDINGS = "findings"


class Growth(Enum):
    NONE = "stays"
    UP = "grows"
    DOWN = "shrinks"
    ANY = "may grow or shrink"


_FLIPPED = {Growth.UP: Growth.DOWN, Growth.DOWN: Growth.UP}
_JOINED = ("_&&_", "_||_", "_+_", "@not_strictly_false", "size", "int", "uint", "double")
"""what grows with each operand"""
_ABOVE = ("_>_", "_>=_", "_-_")
"""what grows with the first operand and shrinks with the second"""
_BELOW = ("_<_", "_<=_")
_TRUE, _ZERO = 1, 0


def grows(serialized: bytes) -> bool:
    """Whether what is true, or in the list, stays so with more findings. `serialized` is a google.protobuf.Any."""
    return _growth(tree.checked(serialized)[0], {FINDINGS: Growth.UP}) in (Growth.NONE, Growth.UP)


def _growth(expression: Message, names: Mapping[str, Growth]) -> Growth:
    """`names` are the variables that are not always the same: the findings, and what loops gather."""
    if ident := expression.message(tree.IDENT):
        return names.get(ident.text(1), Growth.NONE)
    if call := expression.message(tree.CALL):
        return _of_call(call.text(2), tree.operands(call), names)
    if loop := expression.message(tree.LOOP):
        return _of_loop(loop, names)
    return _joined(*(_same(_growth(inner, names)) for inner in _inside(expression)))


def _of_call(name: str, operands: list[Message], names: Mapping[str, Growth]) -> Growth:
    each = [_growth(one, names) for one in operands]
    if name in _JOINED:
        return _joined(*each)
    if name in ("!_", "-_"):
        return _flipped(each[0])
    if name in _ABOVE or name in _BELOW:
        return _joined(each[0], _flipped(each[1])) if name in _ABOVE else _joined(_flipped(each[0]), each[1])
    if name == "_?_:_":
        return _joined(_same(each[0]), *each[1:])
    if name == "@in":
        return _joined(_same(each[0]), each[1])
    if name in ("_==_", "_!=_") and _is_count(operands[0]) and _whole(operands[1]) == _ZERO:
        return each[0] if name == "_!=_" else _flipped(each[0])
    return _joined(*map(_same, each))


def _of_loop(loop: Message, names: Mapping[str, Growth]) -> Growth:
    """What comes of CEL's macros: exists, all, filter and map grow, or shrink, with what they go through and with what
    they ask of each. What they go through are single things, each the same whatever else is found."""
    over = _growth(loop.message(tree.RANGE) or tree.NOTHING, names)
    names = {name: one for name, one in names.items() if name != loop.text(1)}
    step = loop.message(tree.STEP) or tree.NOTHING
    call = step.message(tree.CALL) or tree.NOTHING
    name, operands = call.text(2), tree.operands(call)
    result = loop.message(tree.RESULT) or tree.NOTHING
    if _is_gathered(result) and name in ("_||_", "_&&_") and _is_gathered(operands[0]):
        asked = _growth(operands[1], names)
        return _joined(over if name == "_||_" else _flipped(over), asked)
    if _is_gathered(result) and name == "_?_:_" and _is_gathered(operands[2]) and (added := _added(operands[1])):
        return _joined(over, _growth(operands[0], names), _same(_growth(added, names)))
    if _is_gathered(result) and (added := _added(step)):
        return _joined(over, _same(_growth(added, names)))
    every = (step, result, loop.message(tree.INIT) or tree.NOTHING)
    return _joined(_same(over), *(_same(_growth(one, {**names, tree.GATHERED: Growth.NONE})) for one in every))


def _added(expression: Message) -> Message | None:
    """x of `@result + [x]`, None for anything else."""
    call = expression.message(tree.CALL) or tree.NOTHING
    operands = tree.operands(call)
    if call.text(2) != "_+_" or not _is_gathered(operands[0]):
        return None
    listed = (operands[1].message(tree.LIST) or tree.NOTHING).messages(1)
    return listed[0] if len(listed) == 1 else None


def _is_gathered(expression: Message) -> bool:
    ident = expression.message(tree.IDENT)
    return ident is not None and ident.text(1) == tree.GATHERED


def _is_count(expression: Message) -> bool:
    call = expression.message(tree.CALL)
    return call is not None and call.text(2) == "size"


def _whole(expression: Message) -> int:
    """The whole number that is written there, -1 for anything else."""
    constant = expression.message(tree.CONSTANT)
    return constant.number(3) if constant is not None and 3 in constant.fields else -1


def _inside(expression: Message) -> list[Message]:
    found = []
    for kind, places in tree.INNER.items():
        held = expression.message(kind)
        for inner in [one for place in places for one in held.messages(place)] if held else []:
            found += [*inner.messages(3), *inner.messages(4)] if kind == tree.STRUCT else [inner]
    return found


def _joined(*each: Growth) -> Growth:
    """Of what grows with all of these."""
    found = set(each) - {Growth.NONE}
    if not found:
        return Growth.NONE
    return found.pop() if len(found) == 1 else Growth.ANY


def _flipped(one: Growth) -> Growth:
    return _FLIPPED.get(one, one)


def _same(one: Growth) -> Growth:
    """Of what is another, in whatever way, whenever this is another."""
    return one if one is Growth.NONE else Growth.ANY
