"""Read zip archives of unknown origin by their central directory (APPNOTE.TXT, 4.3 to 4.5).

Python's zipfile creates an object for each entry, which takes three times as long for the jars of a big application.
This reader parses only the entries whose names match.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, NamedTuple

from dockgate.scanner.formats.content import decode_path
from dockgate.shared.errors import UnreadableError

ENTRY_LIMIT = 200_000  # entries of one archive
DIRECTORY_LIMIT = 64 * 1024 * 1024  # bytes of one archive's central directory
MEMORY_LIMIT = 8 * 1024 * 1024  # bytes of an entry that stay in memory; a larger one goes to an unlinked temporary file

_STORED_METHOD, _DEFLATED_METHOD = 0, 8
_ENCRYPTED_FLAG = 1
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE = 22, 20, 56
_END = b"PK\x05\x06"
_FULL_SIZE, _FULL_COUNT = 0xFFFFFFFF, 0xFFFF
_COUNT_MODULUS = 0x10000  # tools without zip64 write the lower 16 bits of the number of entries
_COMMENT_LIMIT = 0xFFFF
_CHUNK = 256 * 1024


class Section(NamedTuple):
    """A range of a file: a whole archive, or one that is stored inside another."""

    file: BinaryIO
    start: int
    size: int

    def read(self, at: int, size: int) -> bytes:
        """Read exactly these bytes. Raises UnreadableError if they are not all there."""
        if at < 0 or size < 0 or at + size > self.size:
            raise UnreadableError("its directory references bytes outside the archive")
        self.file.seek(self.start + at)
        data = self.file.read(size)
        if len(data) != size:
            raise UnreadableError("it is truncated")
        return data


class Entry(NamedTuple):
    """An entry of the central directory; `at` is the position of its local header."""

    name: str
    flags: int
    method: int
    check: int
    compressed_size: int
    size: int
    at: int


def is_zip(section: Section) -> bool:
    """Return whether the section ends like a zip archive: an end record and at most a comment."""
    size = min(section.size, _END_SIZE + _COMMENT_LIMIT)
    return _END in section.read(section.size - size, size)


class Archive:
    """An archive: its entries whose names end with one of `endings`, in order.

    All entries up to the end of the directory count. Archives in which readers find different directories are refused.

    `count` is the number of all entries; `has_classes` tells whether one is a Java class. With `is_case_ignored`,
    `endings` are in lower case and names may be in any. Raises UnreadableError if the archive is not complete.

    `spend` is called with all bytes before they are read or after they are inflated, and raises above its limit: an
    archive may name the same bytes any number of times, so its own size is no limit.
    """

    def __init__(
        self,
        section: Section,
        endings: tuple[bytes, ...],
        spend: Callable[[int], None],
        *,
        is_case_ignored: bool = False,
    ) -> None:
        self._section = section
        self._spend = spend
        directory, self.count, self._shift = self._find_directory()
        self.has_classes = False
        self._fold: Callable[[bytes], bytes] = bytes.lower if is_case_ignored else bytes
        self.entries = tuple(self._scan(directory, endings))

    def _scan(self, directory: bytes, endings: tuple[bytes, ...]) -> Iterator[Entry]:
        """Parse the directory. Hot path: about half a microsecond for an entry that does not match."""
        header = struct.Struct("<4s4xHH4xIIIHHH8xI").unpack_from
        at, end, fold, stated_count = 0, len(directory), self._fold, self.count
        self.count = 0
        while at < end:  # Java and Python read to the end of the directory, whatever number of entries is stated
            self.count += 1
            if self.count > ENTRY_LIMIT:
                raise _make_count_error(self.count)
            first = at + 46
            if first > end:
                raise UnreadableError("its directory is truncated")
            magic, flags, method, check, packed_size, size, name_size, extra, comment, offset = header(directory, at)
            extra_start = first + name_size
            at = extra_start + extra + comment
            if magic != b"PK\x01\x02" or at > end:
                raise UnreadableError("its directory is broken")
            name = directory[first:extra_start]
            if name.endswith(b".class"):
                self.has_classes = True
            elif fold(name).endswith(endings):
                size, packed_size, offset = _read_zip64(
                    directory[extra_start : extra_start + extra], size, packed_size, offset
                )
                yield Entry(decode_path(name), flags, method, check, packed_size, size, offset + self._shift)
        if stated_count != self.count and stated_count != self.count % _COUNT_MODULUS:
            raise UnreadableError(f"its directory has {self.count} entries, but its end record states {stated_count}")

    def _find_directory(self) -> tuple[bytes, int, int]:
        """Return the central directory, its count of entries, and the size of what precedes the archive."""
        section = self._section
        tail_size = min(section.size, _END_SIZE + _COMMENT_LIMIT)
        tail = section.read(section.size - tail_size, tail_size)
        end_at = tail.rfind(_END)
        if end_at < 0 or end_at + _END_SIZE > tail_size:
            raise UnreadableError("it is not a complete zip archive")
        end = section.size - tail_size + end_at
        count, size, offset, comment = struct.unpack_from("<10xHIIH", tail, end_at)
        if end_at + _END_SIZE + comment != tail_size and tail.find(_END) != end_at:
            # Python takes the last end record, Java the last that fits the file.
            raise UnreadableError("it has several end records, and the last is not at its end")
        if tail[max(0, end_at - _LOCATOR_SIZE) : end_at][:4] == b"PK\x06\x07":
            end, count, size, offset = self._find_zip64_directory(end, count, size, offset)
        if count > ENTRY_LIMIT or size > DIRECTORY_LIMIT:
            raise _make_count_error(count)
        if size + offset > end:
            raise UnreadableError("its directory is not at the position that the archive states")
        self._spend(size)
        return section.read(end - size, size), count, end - size - offset

    def _find_zip64_directory(self, end: int, *stated_fields: int) -> tuple[int, int, int, int]:
        """Return the position of the zip64 end record before the end record at `end`, and what it states.

        `stated_fields` are the count, size and offset in the end record. Where those are not placeholders, some readers
        use them and others the zip64 record, so both must agree.
        """
        if end < _LOCATOR_SIZE + _END64_SIZE:
            raise UnreadableError("its zip64 directory is not at the position that the archive states")
        locator = self._section.read(end - _LOCATOR_SIZE, _LOCATOR_SIZE)
        end -= _LOCATOR_SIZE + _END64_SIZE
        record = self._section.read(end, _END64_SIZE)
        count, size, offset = struct.unpack_from("<32xQQQ", record)
        if record[:4] != b"PK\x06\x06" or struct.unpack_from("<8xQ", locator)[0] != offset + size:
            raise UnreadableError("its zip64 directory is not at the position that the archive states")
        for value, wide, placeholder in zip(
            stated_fields, (count, size, offset), (_FULL_COUNT, _FULL_SIZE, _FULL_SIZE), strict=True
        ):
            if value not in (wide, placeholder):
                raise UnreadableError("its two end records contradict each other")
        return end, count, size, offset

    def read_head(self, entry: Entry, limit: int) -> bytes:
        """Read the entry's first bytes, at most `limit`, unchecked."""
        return b"".join(self._inflate(entry, limit))

    def read_all(self, entry: Entry, limit: int) -> bytes:
        """Read the content. Raises UnreadableError above `limit` or if it contradicts the directory."""
        if entry.size > limit:
            raise UnreadableError(f"it has {entry.size} bytes; no more than {limit} are read")
        content = b"".join(self._inflate(entry, entry.size + 1))
        if len(content) != entry.size or zlib.crc32(content) != entry.check:
            raise UnreadableError("it does not match the archive's directory")
        return content

    @contextmanager
    def open_entry(self, entry: Entry) -> Iterator[Section]:
        """Open the entry's content as a section: in place if it is stored, else inflated."""
        if entry.method == _STORED_METHOD:
            yield Section(self._section.file, self._section.start + self._find_content(entry), entry.compressed_size)
            return
        from tempfile import TemporaryFile

        with BytesIO() if entry.size <= MEMORY_LIMIT else TemporaryFile() as file:
            size = 0
            for piece in self._inflate(entry, entry.size + 1):
                size += file.write(piece)
            if size != entry.size:
                raise UnreadableError("it does not match the archive's directory")
            yield Section(file, 0, size)

    def _find_content(self, entry: Entry) -> int:
        """Return the position of the entry's packed bytes."""
        if entry.flags & _ENCRYPTED_FLAG:
            raise UnreadableError("it is encrypted")
        local = self._section.read(entry.at, 30)
        if local[:4] != b"PK\x03\x04":
            raise UnreadableError("the archive's directory does not lead to its content")
        name_size, extra = struct.unpack_from("<26xHH", local)
        return int(entry.at + 30 + name_size + extra)

    def _inflate(self, entry: Entry, limit: int) -> Iterator[bytes]:
        """Yield the content in pieces, at most `limit` bytes in total."""
        if entry.method not in (_STORED_METHOD, _DEFLATED_METHOD):
            raise UnreadableError(f"it is compressed with the unsupported method {entry.method}")
        at = self._find_content(entry)
        stop = at + entry.compressed_size
        inflater = zlib.decompressobj(-15) if entry.method == _DEFLATED_METHOD else None
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
                    raise UnreadableError("it cannot be decompressed") from error
                limit -= len(data)
                self._spend(len(data))
                yield data
                if inflater.eof:
                    return
                piece = inflater.unconsumed_tail
                if not piece and len(data) < room:
                    break


def _make_count_error(count: int) -> UnreadableError:
    return UnreadableError(f"it has {count} entries; no more than {ENTRY_LIMIT} are read")


def _read_zip64(extra: bytes, size: int, compressed_size: int, offset: int) -> tuple[int, int, int]:
    """Return the values of the zip64 extra field where the directory's are too small (APPNOTE.TXT, 4.5.3)."""
    fields = [size, compressed_size, offset]
    at = 0
    while _FULL_SIZE in fields and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.iter_unpack("<Q", extra[at + 4 : at + 4 + length // 8 * 8]))
            fields = [next(values, (field,))[0] if field == _FULL_SIZE else field for field in fields]
            break
        at += 4 + length
    return fields[0], fields[1], fields[2]
