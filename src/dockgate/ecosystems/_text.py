"""What ecosystems need to read files of unknown origin, and to write package URLs."""

from typing import BinaryIO

from dockgate.core.errors import UnreadableError

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:")


def check_size(file: BinaryIO, limit: int) -> None:
    """Raises UnreadableError when `file` has more than `limit` bytes; leaves it at its beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > limit:
        raise UnreadableError(f"it has {size} bytes; no more than {limit} are read")


def quote(text: str) -> str:
    """Percent-encoded as the purl specification's "Character encoding" has it: the colon stays."""
    if _UNRESERVED.issuperset(text):
        return text
    return "".join(
        char if char in _UNRESERVED else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in text
    )


def text(raw: bytes) -> str:
    """UTF-8; bytes that are not become U+FFFD."""
    return raw.decode("utf-8", "replace")


def path_text(raw: bytes) -> str:
    """A path's name as layers spell it: UTF-8, other bytes kept apart as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")
