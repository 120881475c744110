"""A cache of values in the files of a folder, shared by processes."""

import dataclasses
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from dockgate.shared import canonical

T = TypeVar("T")

# Bytes before the value, with the CRC-32 of its type's fields and of itself: a damaged value, or one whose fields had
# other names, may still decode, to something else. Facts without packages would make an image look safe.
_CHECK = 4


class FileCache(Generic[T]):
    """A folder of files with dataclasses of one type, by name.

    A value that cannot be read or written is a cache miss, not an error.
    """

    def __init__(self, folder: Path, kind: type[T]) -> None:
        self._folder = folder
        self._kind = kind
        self._fields = zlib.crc32("\n".join(_list_fields(kind, set())).encode())

    def find(self, name: str) -> T | None:
        """Return the value stored under this name.

        None if the value is missing, its file is damaged, or the fields of its type have changed since.
        """
        with suppress(OSError, KeyError, TypeError, ValueError):
            data = memoryview((self._folder / name).read_bytes())
            if bytes(data[:_CHECK]) == self._check(data[_CHECK:]):
                return _decode(self._kind, data[_CHECK:])
        return None

    def keep(self, name: str, value: T) -> None:
        """Store a value. The file is replaced atomically, so a reader never sees part of it."""
        with suppress(OSError):
            data = _encode(value)
            self._write(self._folder / name, self._check(data), data)

    def _check(self, data: bytes | memoryview) -> bytes:
        return zlib.crc32(data, self._fields).to_bytes(_CHECK, "big")

    def _write(self, path: Path, *pieces: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._folder / f".{os.urandom(8).hex()}"  # tempfile takes 4 ms to import
        try:
            with open(new, "xb", opener=partial(os.open, mode=0o600)) as file:
                file.writelines(pieces)
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _list_fields(kind: Any, visited_kinds: set[Any]) -> Iterator[str]:
    """Yield the names and types of all fields of a dataclass, and of those that its fields hold."""
    for argument in get_args(kind):
        yield from _list_fields(argument, visited_kinds)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind not in visited_kinds:
        visited_kinds.add(kind)
        for field in dataclasses.fields(kind):
            yield f"{kind.__qualname__}.{field.name}: {field.type}"
            yield from _list_fields(field.type, visited_kinds)


def _encode(value: object) -> bytes:
    """Encode as MessagePack, ten times as quick as JSON here, or as JSON.

    JSON is for values with a path that is not UTF-8, which MessagePack cannot hold.
    """
    import msgspec  # not imported for nothing

    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return canonical.encode(value)


def _decode(kind: type[T], data: memoryview) -> T:
    """Decode what `_encode` wrote: no MessagePack map begins as JSON does.

    Raises KeyError, TypeError or ValueError for other bytes.
    """
    if bytes(data[:1]) == b"{":
        return canonical.decode(kind, bytes(data))
    import msgspec

    return msgspec.msgpack.decode(data, type=kind)
