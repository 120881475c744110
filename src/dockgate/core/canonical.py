"""Values to canonical JSON and back: the bytes that are hashed, stored and compared.

Canonical: UTF-8, keys sorted, no white space, floats as Python prints them, no NaN (after RFC 8785, save for number
form).
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def encode(value: object) -> bytes:
    """Canonical bytes of a dataclass, or of plain JSON values."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "backslashreplace"
    )


def digest(data: bytes) -> str:
    """ "sha256:…" of the bytes, in OCI's form."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def plain(value: object) -> Any:
    """Dataclasses to dicts, tuples to lists, enums to their values, all the way down."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def decode(kind: type[T], data: bytes) -> T:
    """The dataclass that `encode` made these bytes from. Raises KeyError, TypeError or ValueError on other bytes."""
    return typing.cast(T, build(kind, json.loads(data)))


def build(kind: Any, value: Any) -> Any:
    """`value` (plain JSON) as `kind`: a dataclass, an enum, an optional, a tuple, list or dict of those."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (inner,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
        return build(inner, value)
    if origin is tuple:
        args = typing.get_args(kind)
        if len(args) == 2 and args[1] is ...:
            return tuple(build(args[0], item) for item in value)
        return tuple(build(arg, item) for arg, item in zip(args, value, strict=True))
    if origin is list:
        return [build(typing.get_args(kind)[0], item) for item in value]
    if origin is dict:
        return {key: build(typing.get_args(kind)[1], item) for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(type, kind))
        return typing.cast(type, kind)(**{name: build(hints[name], item) for name, item in value.items()})
    return value


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)
