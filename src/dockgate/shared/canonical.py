"""Values as canonical JSON and back: the bytes that are hashed, stored and compared.

Canonical: UTF-8, sorted keys, no white space, floats as Python prints them, no NaN (RFC 8785, except for numbers).
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from typing import Any, TypeVar

T = TypeVar("T")

# The metadata of a field that is None where a value is absent, and is stored as an empty text or -1.0 then. Stored
# documents (inventories, advisories, cases, verdicts) keep these forms for their digests' sake: a verdict must replay
# to the same bytes. New fields are stored as null, which is also what the API answers where a value is absent.
STORED_AS_EMPTY: Mapping[str, Any] = {"absent": ""}
STORED_AS_MINUS_ONE: Mapping[str, Any] = {"absent": -1.0}


def encode(value: object) -> bytes:
    """Return canonical bytes of a dataclass, or of plain JSON values."""
    return _JSON.encode(value).encode("utf-8", "backslashreplace")


def encode_ascii(value: object) -> str:
    """Return ASCII text with sorted keys of a dataclass, or of a dict or list with dataclasses in it."""
    return json.dumps(value, default=_encode_level, sort_keys=True, allow_nan=False)


def to_plain(value: object) -> Any:
    """Turn dataclasses into dicts, tuples into lists and enums into their values, all the way down."""
    if type(value) in _LEAVES:
        return value
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(field_value) for name, field_value in _collect_stored_fields(value).items()}
    return value


def _encode_level(value: object) -> object:
    """Encode one level of a value that JSON does not have; the encoder, in C, calls this for each."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _collect_stored_fields(value)
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _return_same(value: dict[str, Any]) -> dict[str, Any]:
    return value


# Bytes of a document that takes long enough to decode for other threads to notice.
_LARGE = 1_000_000
_LEAVES = frozenset((str, int, float, bool, type(None)))
_JSON = json.JSONEncoder(
    default=_encode_level,
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,
)


def decode(kind: type[T], data: bytes) -> T:
    """Return the dataclass that `encode` made these bytes from.

    Raises KeyError, TypeError or ValueError on other bytes.
    """
    # The decoder is in C, and lets other threads run only while it calls a function.
    hook = _return_same if len(data) > _LARGE else None
    return typing.cast(T, build(kind, json.loads(data, object_hook=hook)))


def build(kind: Any, value: Any) -> Any:
    """`value` (plain JSON) as `kind`: a dataclass, an enum, a type of text, or several of them."""
    make = _find_maker(kind)
    return value if make is None else make(value)


_Maker = Callable[[Any], Any]


@cache
def _find_maker(kind: Any) -> _Maker | None:
    """Return a function that makes a `kind` of plain JSON; None if plain JSON is already of that kind."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (_find_maker(argument) for argument in arguments if argument is not type(None))
        return None if inner is None else lambda value: None if value is None else inner(value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return _make_items_maker(tuple, _find_maker(arguments[0]))
        makers = [_find_maker(argument) for argument in arguments]
        return lambda value: tuple(
            item if make is None else make(item) for make, item in zip(makers, value, strict=True)
        )
    if origin is list:
        return _make_items_maker(list, _find_maker(arguments[0]))
    if origin is dict:
        make = _find_maker(arguments[1])
        return dict if make is None else lambda value: {key: make(item) for key, item in value.items()}
    if isinstance(kind, type) and (issubclass(kind, Enum) or (issubclass(kind, str) and kind is not str)):
        return kind
    return _make_fields_maker(kind) if dataclasses.is_dataclass(kind) else None


def _make_items_maker(kind: type[tuple[Any, ...]] | type[list[Any]], make: _Maker | None) -> _Maker:
    return kind if make is None else lambda value: kind(map(make, value))


def _make_fields_maker(kind: Any) -> _Maker:
    """Return a maker for the class's objects, which raises KeyError for an unknown field."""
    makers = {name: _find_maker(hint) for name, hint in typing.get_type_hints(kind).items()}
    makers |= {name: partial(_replace_absent, absent, makers[name]) for name, absent in _list_absent_values(kind)}

    def make(value: Any) -> Any:
        return kind(**{name: item if (inner := makers[name]) is None else inner(item) for name, item in value.items()})

    return make


def _replace_absent(absent: object, make: _Maker | None, value: Any) -> Any:
    if value == absent:
        return None
    return value if make is None else make(value)


def _collect_stored_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass with the values that are stored for absent ones."""
    kind: Any = type(value)
    fields = {name: getattr(value, name) for name in _list_fields(kind)}
    for name, absent in _list_absent_values(kind):
        if fields[name] is None:
            fields[name] = absent
    return fields


@cache
def _list_fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@cache
def _list_absent_values(kind: Any) -> tuple[tuple[str, object], ...]:
    fields = dataclasses.fields(kind)
    return tuple((field.name, field.metadata["absent"]) for field in fields if "absent" in field.metadata)
