"""JSON that every parser reads in the same way.

RFC 8259 leaves open what an object means that has a name twice: Python takes the last value, others the first, and Go
merges both. So a document that was checked by one program could say something else to the next.
"""

import json
from collections import Counter
from typing import Any, NoReturn


class RepeatedNameError(ValueError):
    """An object has a name twice."""


def parse_json(data: str | bytes) -> Any:
    """Parse JSON without repeated names and without NaN and Infinity.

    Raises RepeatedNameError, ValueError for what is not JSON, and RecursionError.
    """
    return json.loads(data, object_pairs_hook=make_object, parse_constant=_refuse_constant)


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object that a parser read. Raises RepeatedNameError."""
    value = dict(pairs)
    if len(value) < len(pairs):
        repeated_name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise RepeatedNameError(f"an object has the key {repeated_name[:100]!r} twice")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
