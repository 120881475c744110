"""Compile what an event pattern requires of one field.

That is a list of values and match expressions.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import isfinite
from typing import NoReturn

from dockgate.shared.errors import DefinitionError

# A value of an event that is neither an object nor an array.
Scalar = str | int | float | bool | None
Test = Callable[[Scalar], bool]

# As in IPv4 and IPv6, without the form that ends in an IPv4 address.
_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_CIDR = re.compile(r"([^/]*)/([0-9]{1,3})")
# Every smaller whole number is a float, too.
_EXACT_FLOATS = 2**53
# Characters of one character in lower or upper case, at most.
_LONGEST_CASE = 3


@dataclass(frozen=True, slots=True)
class FieldPattern:
    """The condition of a pattern on one field.

    `accepts` is true of one of its values, or it is absent, if it may be. `texts` are the only values that it accepts,
    None if there are others.
    """

    accepts: Test
    can_be_absent: bool
    texts: frozenset[str] | None


def compile_field(values: Sequence[object], location: str) -> FieldPattern:
    """Compile a list such as ["a", {"prefix": "b"}]: one of them must fit.

    DefinitionError names the location in it.
    """
    if not values:
        refuse_pattern(location, "an empty list matches nothing", "List at least one value, or leave the field out.")
    tests: list[Test] = []
    texts: set[str] = set()
    numbers: set[float] = set()
    literals: set[bool | None] = set()
    can_be_absent = False
    for index, value in enumerate(values):
        item_location = f"{location}[{index}]"
        if isinstance(value, dict):
            name, setting = _parse_expression(value, item_location)
            if name == "exists":
                if not isinstance(setting, bool):
                    refuse_pattern(item_location, "exists must be true or false")
                can_be_absent = can_be_absent or not setting
                if setting:
                    tests.append(lambda _: True)
            elif name == "exactly":
                texts.add(_require_text(setting, name, item_location))
            else:
                tests.append(_COMPILERS[name](setting, item_location))
        elif isinstance(value, str):
            address = parse_address(value)
            if address is None:
                texts.add(value)
            else:
                tests.append(_compile_address(address))
        elif value is None or isinstance(value, bool):
            literals.add(value)
        elif isinstance(value, (int, float)):
            if isinstance(value, float) and not isfinite(value):
                refuse_pattern(item_location, f"{value} is not a number of JSON")
            numbers.add(value)
        else:
            refuse_pattern(
                item_location,
                "a list within a list",
                "Values are text, numbers, true, false, null, or a match expression.",
            )
    has_only_texts = not (tests or numbers or literals or can_be_absent)
    return FieldPattern(
        _combine_tests(texts, numbers, literals, tests), can_be_absent, frozenset(texts) if has_only_texts else None
    )


def refuse_pattern(location: str, reason: str, advice: str | None = None) -> NoReturn:
    """Refuse a pattern."""
    raise DefinitionError(f"event pattern: {location}: {reason}" if location else f"event pattern: {reason}", advice)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address that the text is, None for other text.

    One that maps IPv4 into IPv6 is the IPv4 address.
    """
    if not _ADDRESS.fullmatch(text):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def to_comparable(value: Scalar) -> float | None:
    """A number as a float; None for other values, and for numbers that no float is equal to."""
    if isinstance(value, (str, bool)) or value is None:
        return None
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if -_EXACT_FLOATS <= value <= _EXACT_FLOATS:
        return float(value)
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if Decimal(repr(number)) == value else None


def _combine_tests(texts: set[str], numbers: set[float], literals: set[bool | None], tests: Sequence[Test]) -> Test:
    """A function that is true of any of these values, and where one of the tests is."""
    if not (numbers or literals or tests):
        return frozenset(texts).__contains__
    if len(tests) == 1 and not (texts or numbers or literals):
        return tests[0]

    def is_accepted(value: Scalar) -> bool:
        if isinstance(value, str):
            if value in texts:
                return True
        elif value is None or isinstance(value, bool):
            if value in literals:
                return True
        elif value in numbers:
            return True
        return any(test(value) for test in tests)

    return is_accepted


def _parse_expression(value: dict[str, object], location: str) -> tuple[str, object]:
    """The name and the setting of a match expression such as {"prefix": "a"}."""
    if len(value) != 1:
        refuse_pattern(
            location, f"a match expression has exactly one key, not {len(value)}", f"It is one of {', '.join(NAMES)}."
        )
    ((name, setting),) = value.items()
    if name not in NAMES:
        refuse_pattern(location, f"unknown match expression {name!r}", f"It is one of {', '.join(NAMES)}.")
    return name, setting


def _require_text(value: object, name: str, location: str) -> str:
    if not isinstance(value, str):
        refuse_pattern(
            location, f"{name} must be text", "Only text has a beginning, an end or a case; for numbers use numeric."
        )
    return value


def _compile_address(address: IPv4Address | IPv6Address) -> Test:
    return lambda value: isinstance(value, str) and parse_address(value) == address


def _compile_prefix(setting: object, location: str) -> Test:
    if isinstance(setting, dict):
        begins = re.compile(_make_case_pattern(_parse_case_text(setting, "prefix", location))).match
        return lambda value: isinstance(value, str) and begins(value) is not None
    prefix = _require_text(setting, "prefix", location)
    return lambda value: isinstance(value, str) and value.startswith(prefix)


def _compile_suffix(setting: object, location: str) -> Test:
    if isinstance(setting, dict):
        text = _parse_case_text(setting, "suffix", location)
        begins = re.compile(_make_case_pattern(text, is_reversed=True)).match
        longest = len(text) * _LONGEST_CASE
        # From the end, backwards: that is linear.
        return lambda value: isinstance(value, str) and begins(value[-longest:][::-1]) is not None
    suffix = _require_text(setting, "suffix", location)
    return lambda value: isinstance(value, str) and value.endswith(suffix)


def _parse_case_text(setting: dict[str, object], name: str, location: str) -> str:
    """The text of {"equals-ignore-case": TEXT} within prefix or suffix."""
    if list(setting) != ["equals-ignore-case"]:
        refuse_pattern(location, f'{name} must be text, or {{"equals-ignore-case": text}}')
    return _require_text(setting["equals-ignore-case"], "equals-ignore-case", location)


def _compile_equals_ignore_case(setting: object, location: str) -> Test:
    equals = re.compile(_make_case_pattern(_require_text(setting, "equals-ignore-case", location))).fullmatch
    return lambda value: isinstance(value, str) and equals(value) is not None


def _make_case_pattern(text: str, *, is_reversed: bool = False) -> str:
    """A regular expression of each character in lower and in upper case, which may be several characters."""
    step = -1 if is_reversed else 1
    cases = (dict.fromkeys((character.lower()[::step], character.upper()[::step])) for character in text[::step])
    return "".join(f"(?:{'|'.join(map(re.escape, case))})" for case in cases)


def _compile_wildcard(setting: object, location: str) -> Test:
    """Text in which each * matches any characters.

    The parts between are searched one after another: linear time.
    """
    first_part, *further_parts = _split_wildcard(_require_text(setting, "wildcard", location), location)
    if not further_parts:
        return frozenset((first_part,)).__contains__
    *middle_parts, last_part = further_parts
    shortest = sum(map(len, (first_part, *further_parts)))

    def is_accepted(value: Scalar) -> bool:
        if not isinstance(value, str) or len(value) < shortest:
            return False
        if not value.startswith(first_part) or not value.endswith(last_part):
            return False
        position, end = len(first_part), len(value) - len(last_part)
        for part in middle_parts:
            found_at = value.find(part, position, end)
            if found_at < 0:
                return False
            position = found_at + len(part)
        return True

    return is_accepted


def _split_wildcard(text: str, location: str) -> list[str]:
    """The parts of the text between its wildcards.

    A backslash before * or a backslash makes that an ordinary one.
    """
    parts = [""]
    position = 0
    while position < len(text):
        character = text[position]
        if character == "*":
            if text.startswith("*", position + 1):
                refuse_pattern(
                    location, f"two wildcards side by side, at character {position + 1} of {text!r}", "Write one *."
                )
            parts.append("")
        elif character == "\\":
            position += 1
            if text[position : position + 1] not in ("*", "\\"):
                refuse_pattern(
                    location, f"a backslash before neither * nor \\ in {text!r}", "Write \\\\ for a backslash."
                )
            parts[-1] += text[position]
        else:
            parts[-1] += character
        position += 1
    return parts


def _compile_numeric(setting: object, location: str) -> Test:
    if not isinstance(setting, list) or len(setting) not in (2, 4):
        refuse_pattern(location, 'numeric must be a list such as ["=", 5], ["<", 10] or [">", 0, "<=", 5]')
    operators, bounds = setting[::2], [_parse_bound(lower, location) for lower in setting[1::2]]
    if len(operators) == 2:
        if operators[0] not in (">", ">=") or operators[1] not in ("<", "<="):
            refuse_pattern(location, f"a range is > or >= and then < or <=, not {operators[0]!r} and {operators[1]!r}")
        if not bounds[0] < bounds[1]:
            refuse_pattern(location, f"nothing is between {bounds[0]} and {bounds[1]}")
    elif operators[0] not in _COMPARISONS:
        refuse_pattern(location, f"unknown numeric operator {operators[0]!r}", "It is one of =, <, <=, > and >=.")
    compare, lower = _COMPARISONS[operators[0]], bounds[0]
    compare_upper, upper = (_COMPARISONS[operators[1]], bounds[1]) if len(operators) == 2 else (compare, lower)

    def is_accepted(value: Scalar) -> bool:
        number = to_comparable(value)
        return number is not None and compare(number, lower) and compare_upper(number, upper)

    return is_accepted


def _parse_bound(value: object, location: str) -> float:
    number = to_comparable(value) if isinstance(value, (int, float)) else None
    if number is None:
        refuse_pattern(
            location, f"{value!r} is not a number that can be compared", "Write a number that is exact in 64 bits."
        )
    return number


_COMPARISONS: dict[object, Callable[[float, float], bool]] = {
    "=": float.__eq__,
    "<": float.__lt__,
    "<=": float.__le__,
    ">": float.__gt__,
    ">=": float.__ge__,
}


def _compile_cidr(setting: object, location: str) -> Test:
    text = _require_text(setting, "cidr", location)
    network = _parse_network(text)
    if network is None:
        refuse_pattern(
            location, f"{text!r} is not a block of addresses", "Write it as 10.0.0.0/24, or an address alone as text."
        )

    def is_accepted(value: Scalar) -> bool:
        address = parse_address(value) if isinstance(value, str) else None
        return address is not None and address.version == network.version and address in network

    return is_accepted


def _parse_network(text: str) -> IPv4Network | IPv6Network | None:
    parts = _CIDR.fullmatch(text)
    address = parse_address(parts[1]) if parts else None
    if parts is None or address is None or int(parts[2]) >= address.max_prefixlen:
        return None
    return ip_network(f"{address}/{int(parts[2])}", strict=False)


def _compile_anything_but(setting: object, location: str) -> Test:
    is_refused = _compile_exclusion(setting, location)
    return lambda value: not is_refused(value)


def _compile_exclusion(setting: object, location: str) -> Test:
    """Compile what anything-but excludes."""
    if isinstance(setting, dict):
        name, inner = next(iter(setting.items())) if len(setting) == 1 else ("", None)
        if name not in _EXCLUDABLE:
            refuse_pattern(location, f"anything-but takes values, or one of {', '.join(_EXCLUDABLE)}")
        texts = [_require_text(text, name, location) for text in _as_list(inner, location)]
        if name in ("prefix", "suffix") and "" in texts:
            refuse_pattern(location, f"anything-but an empty {name} matches nothing")
        tests = [_COMPILERS[name](text, location) for text in texts]
        return lambda value: any(test(value) for test in tests)
    values = _as_list(setting, location)
    if all(isinstance(value, str) for value in values):
        return frozenset(values).__contains__
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        refuse_pattern(location, "anything-but takes text only or numbers only")
    numbers = frozenset(_parse_bound(value, location) for value in values)
    return lambda value: to_comparable(value) in numbers


def _as_list(value: object, location: str) -> Sequence[object]:
    values = value if isinstance(value, list) else [value]
    if not values:
        refuse_pattern(location, "anything-but needs at least one value")
    return values


_EXCLUDABLE = ("equals-ignore-case", "prefix", "suffix", "wildcard")
_COMPILERS: dict[str, Callable[[object, str], Test]] = {
    "prefix": _compile_prefix,
    "suffix": _compile_suffix,
    "equals-ignore-case": _compile_equals_ignore_case,
    "wildcard": _compile_wildcard,
    "anything-but": _compile_anything_but,
    "numeric": _compile_numeric,
    "cidr": _compile_cidr,
}
NAMES: Iterable[str] = (*_COMPILERS, "exists", "exactly")
