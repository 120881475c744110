"""Read PHP's phar archives, from which PHP runs an application without unpacking.

A script that ends in `__HALT_COMPILER();`, a manifest with names and sizes of the files, the files, a signature. An
archive may also be a zip archive; tar archives are not read. Sources: php-src's `ext/phar/phar.c`
(`phar_parse_pharfile`), and the manual's "Phar file format".
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from struct import Struct
from typing import BinaryIO, NamedTuple

from dockgate.scanner.formats.content import decode_path, make_budget
from dockgate.scanner.formats.zip_archive import Archive, Section
from dockgate.shared.errors import UnreadableError

SUFFIX = ".phar"
STUB_LIMIT = 1024 * 1024  # bytes at the beginning in which the script must end; Box's have a few thousand
MANIFEST_LIMIT = 16 * 1024 * 1024  # bytes of the manifest, about 80 for each file
READ_LIMIT = 12 * 1024 * 1024  # bytes that are read of one archive's files, packed and unpacked

_END = b"__HALT_COMPILER();"
_SIZE, _COUNT, _ENTRY = Struct("<I"), Struct("<IB5x"), Struct("<I4xIII")
_MAJOR = 0x10
_GZ, _BZ2, _COMPRESSION = 0x1000, 0x2000, 0xF000


class Member(NamedTuple):
    """A file in an archive; `content` reads it, at most so many bytes, or raises UnreadableError."""

    name: str
    content: Callable[[int], bytes]


def read_members(path: str, file: BinaryIO, endings: tuple[str, ...]) -> Iterator[Member]:
    """Yield the files of the archive at `path` whose names end with one of `endings`.

    A script that is not an archive has none. Raises UnreadableError if only the suffix is an archive's.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(STUB_LIMIT)
    spend = make_budget(READ_LIMIT)
    if head.startswith(b"PK\x03\x04"):
        archive = Archive(Section(file, 0, size), tuple(name.encode("ascii") for name in endings), spend)
        for zip_entry in archive.entries:
            yield Member(zip_entry.name, partial(archive.read_all, zip_entry))
        return
    start = _find_manifest(head, size)
    if start:
        for entry in _read_entries(Section(file, start, size - start)):
            if entry.name.endswith(endings):
                yield Member(entry.name, partial(_read_content, Section(file, start, size - start), entry, spend))
    elif path.endswith(SUFFIX) or (size > len(head) and _END not in head):
        raise UnreadableError(f"it has no archive within its first {STUB_LIMIT} bytes")


def _find_manifest(head: bytes, size: int) -> int:
    """Return the manifest's position, or 0.

    A script may mention its own end, or be followed by text. PHP also loads archives of later major versions; text
    would declare a manifest larger than the file.
    """
    end = head.find(_END)
    if end < 0:
        return 0
    start = end + len(_END)
    if head[start : start + 3] in (b" ?>", b"\n?>"):
        start += 3
        start += 2 if head[start : start + 2] == b"\r\n" else head[start : start + 1] == b"\n"
    version = head[start + 8 : start + 9]
    if not version or version[0] < _MAJOR:
        return 0
    is_inside = int.from_bytes(head[start : start + 4], "little") <= size - start
    return start if is_inside or version[0] & 0xF0 == _MAJOR else 0


class _Entry(NamedTuple):
    name: str
    at: int
    compressed_size: int
    size: int
    check: int
    flags: int


def _read_entries(section: Section) -> Iterator[_Entry]:
    (length,) = _SIZE.unpack(section.read(0, _SIZE.size))
    if length > MANIFEST_LIMIT:
        raise UnreadableError(f"its manifest has {length} bytes; no more than {MANIFEST_LIMIT} are read")
    manifest = _Fields(section.read(_SIZE.size, length))
    count, _ = manifest.read_numbers(_COUNT)
    manifest.read_text()  # by which name it calls itself
    manifest.read_text()
    at = _SIZE.size + length
    for _ in range(count):
        name = decode_path(manifest.read_text())
        size, packed_size, check, flags = manifest.read_numbers(_ENTRY)
        manifest.read_text()
        yield _Entry(name, at, packed_size, size, check, flags)
        at += packed_size


class _Fields:
    """The fields of a manifest, read in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read_numbers(self, fields: Struct) -> tuple[int, ...]:
        return fields.unpack(self._take(fields.size))

    def read_text(self) -> bytes:
        """Read a text that follows its length."""
        (length,) = self.read_numbers(_SIZE)
        return self._take(length)

    def _take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise UnreadableError("its manifest is truncated")
        self._at += size
        return data


def _read_content(section: Section, entry: _Entry, spend: Callable[[int], None], limit: int) -> bytes:
    largest_size = max(entry.size, entry.compressed_size)
    if largest_size > limit:
        raise UnreadableError(f"it has {largest_size} bytes; no more than {limit} are read")
    spend(entry.compressed_size + entry.size)
    data = section.read(entry.at, entry.compressed_size)
    try:
        if entry.flags & _COMPRESSION == _GZ:
            data = zlib.decompressobj(-15).decompress(data, entry.size + 1)
        elif entry.flags & _COMPRESSION == _BZ2:
            from bz2 import BZ2Decompressor

            data = BZ2Decompressor().decompress(data, entry.size + 1)
    except (zlib.error, OSError) as error:
        raise UnreadableError("it cannot be decompressed") from error
    if len(data) != entry.size or zlib.crc32(data) != entry.check:
        raise UnreadableError("it does not match the archive's manifest")
    return data
