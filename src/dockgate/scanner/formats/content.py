"""What ecosystems need to read files of unknown origin."""

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from dockgate.shared.errors import UnreadableError


def check_size(file: BinaryIO, limit: int) -> None:
    """Raises UnreadableError when `file` has more than `limit` bytes; leaves it at its beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > limit:
        raise UnreadableError(f"it has {size} bytes; no more than {limit} are read")


def decode(raw: bytes) -> str:
    """UTF-8; bytes that are not become U+FFFD."""
    return raw.decode("utf-8", "replace")


def decode_path(raw: bytes) -> str:
    """A path's name as layers spell it: UTF-8, other bytes kept apart as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def is_script_of(head: bytes, program: bytes) -> bool:
    """Whether the first line of a script of that beginning names the program, or may do so further on."""
    line, ended, _ = head.partition(b"\n")
    return program in line or not ended


def json_object(file: BinaryIO, limit: int) -> dict[str, Any]:
    """The JSON object of a file of at most `limit` bytes. Raises UnreadableError."""
    content = json_value(file, limit)
    if not isinstance(content, dict):
        raise UnreadableError("it is no JSON object")
    return content


def json_value(file: BinaryIO, limit: int) -> Any:
    """The JSON in a file of at most `limit` bytes. Raises UnreadableError."""
    import json

    check_size(file, limit)
    try:
        return json.loads(decode(file.read()).removeprefix("\ufeff"))
    except RecursionError as error:
        raise UnreadableError("its JSON is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"it is no JSON: {error}") from error


def check_mapping(value: Any, reason: str) -> dict[str, Any]:
    """Return `value` if it is a mapping. Raises UnreadableError with the reason."""
    if not isinstance(value, dict):
        raise UnreadableError(reason)
    return value


def get_string(record: Mapping[str, Any], key: str) -> str:
    """The string under a key, "" for none or for anything else."""
    value = record.get(key)
    return value if isinstance(value, str) else ""


def budget(limit: int) -> Callable[[int], None]:
    """A function that is told of bytes, and raises UnreadableError once they are more than `limit` altogether."""
    spent = 0

    def spend(size: int) -> None:
        nonlocal spent
        spent += size
        if spent > limit:
            raise UnreadableError(f"more than {limit} bytes of it would have to be read")

    return spend
