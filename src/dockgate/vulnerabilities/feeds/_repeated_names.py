"""Find OSV records in which an object has a name twice.

Parsers disagree on what such an object means (RFC 8259, section 4): msgspec takes the last value without a word, so a
second `affected` or `ranges` would hide a vulnerability.
"""

import json
import re
from typing import Any

import msgspec

from dockgate.shared.strict_json import RepeatedNameError, make_object, parse_json

# The end of a name. Texts may contain it too.
_NAME_END = re.compile(rb'"[ \t\r\n]*:')
# Escapes of '"', " " and ":", which are not written as escapes again.
_OTHER_SPELLING = re.compile(rb"\\u00(?:2[02]|3[aA])")


class _Pairs(list[tuple[str, Any]]):
    """An object with all its names, also repeated ones."""


def has_repeated_names(record: bytes) -> bool:
    """Return whether an object of a record that can be read has a name twice.

    The record is decoded and written again, which drops repeated names. If that has as many names, none is repeated:
    this takes a third of the time of the exact look.
    """
    try:
        copy = msgspec.json.encode(msgspec.json.decode(record))
        if not _OTHER_SPELLING.search(record) and _count_names(record) == _count_names(copy):
            return False
    except (ValueError, RecursionError):
        pass  # a value of a field that is not read, such as half a surrogate pair
    try:
        parse_json(record)
    except RepeatedNameError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def require_unique_names(record: bytes) -> None:
    """Raise RepeatedNameError for a name that is repeated outside of the record's affected entries."""
    fields = _parse_pairs(record)
    make_object(fields)
    for name, value in fields:
        if name != "affected":
            _require_unique(value)


def require_unique_package(entry: bytes) -> None:
    """Raise RepeatedNameError if it is not certain which package an affected entry is about."""
    packages = _Pairs(pair for pair in _parse_pairs(entry) if pair[0] == "package")
    make_object(packages)
    _require_unique(packages)


def _count_names(data: bytes) -> int:
    return len(_NAME_END.findall(data))


def _parse_pairs(data: bytes) -> _Pairs:
    value = json.loads(data, object_pairs_hook=_Pairs)
    return value if isinstance(value, _Pairs) else _Pairs()


def _require_unique(value: object) -> None:
    if isinstance(value, _Pairs):
        make_object(value)
        for _, inner_value in value:
            _require_unique(inner_value)
    elif isinstance(value, list):
        for inner_value in value:
            _require_unique(inner_value)
