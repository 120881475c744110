"""Read content of unknown origin: size limits, text encodings, JSON."""

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from dockgate.shared.errors import UnreadableError


def check_size(file: BinaryIO, limit: int) -> None:
    """Raise UnreadableError if `file` has more than `limit` bytes; leave it at its beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > limit:
        raise UnreadableError(f"it has {size} bytes; no more than {limit} are read")


def decode_text(raw: bytes) -> str:
    """Decode UTF-8; invalid bytes become U+FFFD."""
    return raw.decode("utf-8", "replace")


def read_text(file: BinaryIO, limit: int) -> str:
    """Decode a file of at most `limit` bytes. Raises UnreadableError."""
    check_size(file, limit)
    return decode_text(file.read())


def join_path(folder: str, path: str) -> str:
    """Join a relative folder and a path, normalised.

    ".." above the root stays at the root, and a leading "/" is the root.
    """
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{folder}/{path}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def decode_path(raw: bytes) -> str:
    """Decode a path as layers spell it: UTF-8, invalid bytes as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def is_script_of(head: bytes, program: bytes) -> bool:
    """Return whether a script's first line names the program, or is longer than `head`."""
    line, line_end, _ = head.partition(b"\n")
    return program in line or not line_end


def read_json_object(file: BinaryIO, limit: int) -> dict[str, Any]:
    """Read a JSON object from a file of at most `limit` bytes. Raises UnreadableError."""
    content = read_json(file, limit)
    if not isinstance(content, dict):
        raise UnreadableError("it is not a JSON object")
    return content


def read_json(file: BinaryIO, limit: int) -> Any:
    """Read JSON from a file of at most `limit` bytes. Raises UnreadableError."""
    import json

    try:
        return json.loads(read_text(file, limit).removeprefix("\ufeff"))
    except RecursionError as error:
        raise UnreadableError("its JSON is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"it is not JSON: {error}") from error


def check_mapping(value: Any, reason: str) -> dict[str, Any]:
    """Return `value` if it is a mapping. Raises UnreadableError with the reason."""
    if not isinstance(value, dict):
        raise UnreadableError(reason)
    return value


def get_string(record: Mapping[str, Any], key: str) -> str:
    """Return the string under a key, an empty one for another value or none."""
    value = record.get(key)
    return value if isinstance(value, str) else ""


def make_budget(limit: int) -> Callable[[int], None]:
    """Return a function that counts bytes and raises UnreadableError above `limit` in total."""
    spent_bytes = 0

    def spend(size: int) -> None:
        nonlocal spent_bytes
        spent_bytes += size
        if spent_bytes > limit:
            raise UnreadableError(f"more than {limit} bytes of it would have to be read")

    return spend
