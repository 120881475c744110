"""Zip archives of unknown origin, read by their central directory (APPNOTE.TXT, sections 4.3 to 4.5).

Python's zipfile makes an object for each entry, which over the jars of a big application takes three times as long as
this, its import apart: here only the entries whose names matter are looked at any closer.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from dockgate.scanner.formats.content import decode_path
from dockgate.shared.errors import UnreadableError

# Entries of one archive.
ENTRY_LIMIT = 200_000
# Bytes of one archive's central directory.
DIRECTORY_LIMIT = 64 * 1024 * 1024
# Bytes of an entry that are kept in memory; a bigger one goes to an unlinked temporary file.
MEMORY_LIMIT = 8 * 1024 * 1024

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE = 22, 20, 56
_FULL = 0xFFFFFFFF
_COMMENT_LIMIT = 0xFFFF
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a file: the whole of an archive, or one that is stored in another."""

    file: BinaryIO
    start: int
    size: int

    def read(self, at: int, size: int) -> bytes:
        """Exactly these bytes. Raises UnreadableError where they are not all there."""
        if at < 0 or size < 0 or at + size > self.size:
            raise UnreadableError("it points outside itself")
        self.file.seek(self.start + at)
        data = self.file.read(size)
        if len(data) != size:
            raise UnreadableError("it is cut off")
        return data


@dataclass(frozen=True, slots=True)
class Entry:
    """What the central directory says of one entry. `at` is where its local header begins."""

    name: str
    flags: int
    method: int
    check: int
    packed: int
    size: int
    at: int


def is_zip(section: Section) -> bool:
    """Whether the section ends as a zip archive does: with an end record, and a comment at most."""
    size = min(section.size, _END_SIZE + _COMMENT_LIMIT)
    return b"PK\x05\x06" in section.read(section.size - size, size)


class Archive:
    """One archive: the entries whose names end with one of `wanted`, in order; how many it has of all kinds (`count`);
    whether there is a class among them. If `ignore_case`, `wanted` are in lower case, and names may be in any. Raises
    UnreadableError for what is no whole zip archive.

    `spend` is told of all bytes before they are read or after they are inflated, and raises when it becomes too much:
    an archive may name the same bytes any number of times, so that its own size bounds nothing.
    """

    def __init__(
        self, section: Section, endings: tuple[bytes, ...], spend: Callable[[int], None], *, ignore_case: bool = False
    ) -> None:
        self._section = section
        self._spend = spend
        directory, self.count, self._shift = self._directory()
        self.has_classes = False
        self._fold: Callable[[bytes], bytes] = bytes.lower if ignore_case else bytes
        self.entries = tuple(self._scan(directory, endings))

    def _scan(self, directory: bytes, endings: tuple[bytes, ...]) -> Iterator[Entry]:
        """The hot path: about half a microsecond for an entry that is not wanted."""
        header = struct.Struct("<4s4xHH4xIIIHHH8xI").unpack_from
        at, end, fold = 0, len(directory), self._fold
        for _ in range(self.count):
            first = at + 46
            if first > end:
                raise UnreadableError("its directory is cut off")
            magic, flags, method, check, packed, size, name_size, extra, comment, offset = header(directory, at)
            more = first + name_size
            at = more + extra + comment
            if magic != b"PK\x01\x02" or at > end:
                raise UnreadableError("its directory is broken")
            name = directory[first:more]
            if name.endswith(b".class"):
                self.has_classes = True
            elif fold(name).endswith(endings):
                size, packed, offset = _zip64(directory[more : more + extra], size, packed, offset)
                yield Entry(decode_path(name), flags, method, check, packed, size, offset + self._shift)

    def _directory(self) -> tuple[bytes, int, int]:
        """The central directory, its number of entries, and by how much all offsets are shifted by what stands before
        the archive (a script that starts it)."""
        section = self._section
        tail_size = min(section.size, _END_SIZE + _COMMENT_LIMIT)
        tail = section.read(section.size - tail_size, tail_size)
        end_at = tail.rfind(b"PK\x05\x06")
        if end_at < 0 or end_at + _END_SIZE > tail_size:
            raise UnreadableError("it is no zip archive, or not all of one")
        end = section.size - tail_size + end_at
        count, size, offset = struct.unpack_from("<10xHII", tail, end_at)
        if end >= _LOCATOR_SIZE + _END64_SIZE and tail[max(0, end_at - _LOCATOR_SIZE) : end_at][:4] == b"PK\x06\x07":
            end -= _LOCATOR_SIZE + _END64_SIZE
            record = section.read(end, _END64_SIZE)
            if record[:4] != b"PK\x06\x06":
                raise UnreadableError("its zip64 directory is not where it should be")
            count, size, offset = struct.unpack_from("<32xQQQ", record)
        if count > ENTRY_LIMIT or size > DIRECTORY_LIMIT:
            raise UnreadableError(f"it has {count} entries; no more than {ENTRY_LIMIT} are read")
        if size + offset > end:
            raise UnreadableError("its directory is not where it should be")
        self._spend(size)
        return section.read(end - size, size), count, end - size - offset

    def head(self, entry: Entry, limit: int) -> bytes:
        """The entry's first bytes, at most `limit` of them, unchecked."""
        return b"".join(self._inflate(entry, limit))

    def read_all(self, entry: Entry, limit: int) -> bytes:
        """The entry's content. Raises UnreadableError when it is bigger than `limit` or not what the directory says."""
        if entry.size > limit:
            raise UnreadableError(f"it has {entry.size} bytes; no more than {limit} are read")
        content = b"".join(self._inflate(entry, entry.size + 1))
        if len(content) != entry.size or zlib.crc32(content) != entry.check:
            raise UnreadableError("it is not what its archive's directory says")
        return content

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[Section]:
        """The entry's own content, to be read as an archive: in place when it is stored, else inflated."""
        if entry.method == _STORED:
            yield Section(self._section.file, self._section.start + self._content(entry), entry.packed)
            return
        with _scratch(entry.size) as file:
            size = 0
            for piece in self._inflate(entry, entry.size + 1):
                size += file.write(piece)
            if size != entry.size:
                raise UnreadableError("it is not what its archive's directory says")
            yield Section(file, 0, size)

    def _content(self, entry: Entry) -> int:
        """Where the entry's packed bytes begin."""
        if entry.flags & _ENCRYPTED:
            raise UnreadableError("it is encrypted")
        local = self._section.read(entry.at, 30)
        if local[:4] != b"PK\x03\x04":
            raise UnreadableError("its archive's directory points to no entry")
        name_size, extra = struct.unpack_from("<26xHH", local)
        return int(entry.at + 30 + name_size + extra)

    def _inflate(self, entry: Entry, limit: int) -> Iterator[bytes]:
        """Pieces of the content, at most `limit` bytes altogether."""
        if entry.method not in (_STORED, _DEFLATED):
            raise UnreadableError(f"it is compressed by method {entry.method}")
        at = self._content(entry)
        stop = at + entry.packed
        inflater = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
        while limit > 0 and at < stop:
            length = min(_CHUNK, stop - at, limit if inflater is None else _CHUNK)
            self._spend(length)
            piece = self._section.read(at, length)
            at += length
            if inflater is None:
                limit -= length
                yield piece
                continue
            while limit > 0:
                room = min(limit, _CHUNK)
                try:
                    data = inflater.decompress(piece, room)
                except zlib.error as error:
                    raise UnreadableError("it cannot be inflated") from error
                limit -= len(data)
                self._spend(len(data))
                yield data
                if inflater.eof:
                    return
                piece = inflater.unconsumed_tail
                if not piece and len(data) < room:
                    break


def _scratch(size: int) -> BinaryIO:
    """A place for that many bytes, gone when it is closed."""
    if size <= MEMORY_LIMIT:
        return BytesIO()
    from tempfile import TemporaryFile

    return TemporaryFile()


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The same, as the extra field has them where the directory's own fields are too small (APPNOTE.TXT, 4.5.3)."""
    fields = [size, packed, offset]
    at = 0
    while _FULL in fields and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.iter_unpack("<Q", extra[at + 4 : at + 4 + length // 8 * 8]))
            fields = [next(values, (field,))[0] if field == _FULL else field for field in fields]
            break
        at += 4 + length
    return fields[0], fields[1], fields[2]
