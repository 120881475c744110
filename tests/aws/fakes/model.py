"""botocore's service model as a judge: what a request or an answer may hold, length, pattern, range and enum included,
which botocore's own validation leaves to the service."""

import re
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape


@cache
@cache
def load_operation(service: str, name: str) -> Any:
    """The model of an operation ("codepipeline", "PutApprovalResult")."""
    return _load_service(service).operation_model(name)


@cache
def _load_service(name: str) -> Any:
    return botocore.session.get_session().get_service_model(name)


def list_faults(shape: Shape, value: Any, where: str = "") -> list[str]:
    """Everything that is wrong with the value, each with its place."""
    check = _CHECKS.get(shape.type_name)
    return check(shape, value, where) if check else []


def _check_structure(shape: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not a structure"]
    result = [f"{where}.{name}: missing" for name in shape.required_members if name not in value]
    result += [f"{where}.{name}: unknown" for name in value if name not in shape.members]
    for name, member in shape.members.items():
        if name in value:
            result += list_faults(member, value[name], f"{where}.{name}")
    return result


def _list(shape: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{where}: not a list"]
    result = _check_size(shape, len(value), where)
    for index, item in enumerate(value):
        result += list_faults(shape.member, item, f"{where}[{index}]")
    return result


def _check_map(shape: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not a map"]
    result = _check_size(shape, len(value), where)
    for key, item in value.items():
        result += list_faults(shape.key, key, f"{where} key")
        result += list_faults(shape.value, item, f"{where}.{key}")
    return result


def _check_string(shape: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, str):
        return [f"{where}: {value!r} is not a string"]
    result = _check_size(shape, len(value), where)
    if shape.enum and value not in shape.enum:
        result.append(f"{where}: {value!r} is not one of {', '.join(shape.enum)}")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value, re.DOTALL):
        result.append(f"{where}: {value!r} does not match {pattern}")
    return result


def _number(shape: Any, value: Any, where: str) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [f"{where}: {value!r} is not a number"]
    return _check_size(shape, value, where)


def _check_timestamp(shape: Any, value: Any, where: str) -> list[str]:
    """As it goes over the wire: epoch seconds, or text that says a time."""
    if isinstance(value, int | float):
        return []
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return [f"{where}: {value!r} is not a time"]
    return []


def _check_boolean(shape: Any, value: Any, where: str) -> list[str]:
    return [] if isinstance(value, bool) else [f"{where}: {value!r} is neither true nor false"]


def _check_size(shape: Any, size: float, where: str) -> list[str]:
    result = []
    if size < shape.metadata.get("min", size):
        result.append(f"{where}: {size} is below {shape.metadata['min']}")
    if size > shape.metadata.get("max", size):
        result.append(f"{where}: {size} is above {shape.metadata['max']}")
    return result


_CHECKS = {
    "structure": _check_structure,
    "list": _list,
    "map": _check_map,
    "string": _check_string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
    "timestamp": _check_timestamp,
    "boolean": _check_boolean,
}
