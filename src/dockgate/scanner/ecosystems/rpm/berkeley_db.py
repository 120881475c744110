"""Read rpm's Berkeley DB (Packages): a hash database, read page by page in file order.

Layout of Berkeley DB 4 and 5 (src/dbinc/db_page.h), in the byte order of the machine that wrote it. Values are headers;
under the key 0 is the number of the last package.
"""

from collections.abc import Iterator
from struct import unpack
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError

_HASH_MAGIC = 0x061561
_HASH_META, _OVERFLOW = 8, 7
_HASH_PAGES = (2, 13)
_HEAD = 26
_ON_PAGE, _OFF_PAGE = 1, 3
_LAST_NUMBER = b"\0\0\0\0"


def read_headers(file: BinaryIO, size: int, limit: int) -> Iterator[bytes]:
    """Yield each header, at most `limit` bytes long. Raises UnreadableError."""
    database = _Database(file, size)
    for number in range(1, database.count):
        page = database.read_page(number)
        if page[25] in _HASH_PAGES:
            yield from database.read_values(number, page, limit)


class _Database:
    def __init__(self, file: BinaryIO, size: int) -> None:
        head = file.read(512)
        order = {_HASH_MAGIC.to_bytes(4, "little"): "<", _HASH_MAGIC.to_bytes(4, "big"): ">"}.get(head[12:16])
        if order is None or len(head) < 512 or head[25] != _HASH_META:
            raise UnreadableError("it is not a Berkeley DB hash database")
        self.order = order
        self.page_size = self._decode_number(head[20:24])
        if not 512 <= self.page_size <= 65536 or self.page_size & (self.page_size - 1):
            raise UnreadableError("its page size is invalid")
        if head[24] or head[26]:
            raise UnreadableError("it is encrypted, or has checksums")
        self.count = self._decode_number(head[32:36]) + 1
        if self.count * self.page_size > size:
            raise UnreadableError("it is truncated")
        self.file = file
        self.visited_pages = bytearray(self.count)
        self.has_last_number = False

    def read_page(self, number: int) -> bytes:
        self.file.seek(number * self.page_size)
        page = self.file.read(self.page_size)
        if len(page) != self.page_size:
            raise UnreadableError("it is truncated")
        return page

    def read_values(self, number: int, page: bytes, limit: int) -> Iterator[bytes]:
        """Yield the values of a hash page, whose keys and values alternate from its end backwards."""
        count = self._decode_number(page[20:22])
        if count % 2 or _HEAD + 2 * count > self.page_size:
            raise UnreadableError(f"page {number} has more items than it can hold")
        ends = self.page_size, *unpack(f"{self.order}{count}H", page[_HEAD : _HEAD + 2 * count])
        for at in range(0, count, 2):
            key, value = page[ends[at + 1] : ends[at]], page[ends[at + 2] : ends[at + 1]]
            if not key or not value or key[0] != _ON_PAGE:
                raise UnreadableError(f"page {number} has an invalid item")
            if key[1:] == _LAST_NUMBER:
                if self.has_last_number:
                    raise UnreadableError("it has two packages with the number 0")
                self.has_last_number = True
            elif value[0] == _ON_PAGE:
                yield value[1:]
            elif value[0] == _OFF_PAGE and len(value) == 12:
                yield self._read_overflow(self._decode_number(value[4:8]), self._decode_number(value[8:12]), limit)
            else:
                raise UnreadableError(f"page {number} has an invalid item")

    def _read_overflow(self, number: int, size: int, limit: int) -> bytes:
        if size > limit:
            raise UnreadableError(f"a package has {size} bytes; no more than {limit} are read")
        parts: list[bytes] = []
        missing_size = size
        while missing_size > 0:
            if not 0 < number < self.count:
                raise UnreadableError(f"it references page {number}, which does not exist")
            if self.visited_pages[number]:
                raise UnreadableError(f"page {number} is referenced twice")
            self.visited_pages[number] = 1
            page = self.read_page(number)
            length = self._decode_number(page[22:24])
            if page[25] != _OVERFLOW or not 0 < length <= min(missing_size, self.page_size - _HEAD):
                raise UnreadableError(f"page {number} is not part of a package")
            parts.append(page[_HEAD : _HEAD + length])
            missing_size -= length
            number = self._decode_number(page[16:20])
        return b"".join(parts)

    def _decode_number(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.order == "<" else "big")
