"""Read rpm's own database format (Packages.db): pages of slots, each of which points to a header.

Pages have 4096 bytes; all numbers are little-endian (rpm, lib/backend/ndb/rpmpkg.c).
"""

from collections.abc import Iterator
from struct import iter_unpack, unpack
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError

_PAGE, _BLOCK = 4096, 16
_MAGIC, _SLOT, _BLOB = b"RpmP", b"Slot", b"BlbS"


def read_headers(file: BinaryIO, size: int, limit: int) -> Iterator[bytes]:
    """Yield each header, at most `limit` bytes long. Raises UnreadableError."""
    head = file.read(32)
    if len(head) < 32 or head[:4] != _MAGIC:
        raise UnreadableError("it is not an ndb database")
    version, _, pages = unpack("<III", head[4:16])
    if version != 0:
        raise UnreadableError(f"it is an ndb database of the unknown version {version}")
    if not pages or pages * _PAGE > size:
        raise UnreadableError("it is truncated")
    seen_indexes: set[int] = set()
    blobs_size = 0
    for number in range(pages):
        file.seek(number * _PAGE)
        # The database's own header takes the place of the first two slots.
        slots = file.read(_PAGE)[32 if number == 0 else 0 :]
        for magic, index, block, blocks in iter_unpack("<4sIII", slots):
            if magic != _SLOT:
                raise UnreadableError(f"a slot of page {number} is invalid")
            if index:
                if index in seen_indexes:
                    raise UnreadableError(f"it has two packages with the number {index}")
                seen_indexes.add(index)
                blob = _read_blob(file, index, block * _BLOCK, blocks * _BLOCK, limit)
                blobs_size += len(blob)
                if blobs_size > size:
                    raise UnreadableError("its packages overlap")
                yield blob


def _read_blob(file: BinaryIO, index: int, offset: int, room: int, limit: int) -> bytes:
    file.seek(offset)
    head = file.read(16)
    if len(head) < 16 or head[:8] != _BLOB + index.to_bytes(4, "little"):
        raise UnreadableError(f"package {index} is not at the position that its slot states")
    size = int.from_bytes(head[12:], "little")
    if size > min(limit, room):
        raise UnreadableError(f"package {index} has {size} bytes; no more than {min(limit, room)} are read")
    blob = file.read(size)
    if len(blob) != size:
        raise UnreadableError("it is truncated")
    return blob
