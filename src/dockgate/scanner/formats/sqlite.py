"""Read tables of SQLite databases by the file format itself (sqlite.org/fileformat2.html).

No SQL engine runs: a hostile file could answer a query with an endless view, and an engine needs the file in memory or
under a name. This reader keeps one page in memory and reads each page once.
"""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError

SCHEMA_LIMIT = 10_000  # rows of the schema; rpm and FreeBSD's pkg have about thirty
ROWS_LIMIT = 1_000_000  # rows of one table; FreeBSD's pkg has one for each file of its packages

_MAGIC = b"SQLite format 3\0"
_UTF8 = 1
_INTERIOR, _LEAF = 5, 13
_CELL_MINIMUM = 4  # bytes that SQLite reserves for a cell
_INTEGER_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_WAL_MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


def read_rows(
    file: BinaryIO, size: int, table: str, limit: int, columns: int = 5, rows_limit: int = ROWS_LIMIT
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield each row of a table: its number and its first `columns` columns.

    The number is the value of a column that is an INTEGER PRIMARY KEY. Text and blobs are as stored, integers
    big-endian. Raises UnreadableError, also for a row of more than `limit` bytes and for more than `rows_limit` rows.
    """
    database = _Database(file, size)
    root = 0
    for count, (_, payload) in enumerate(database.read_rows(1, limit)):
        if count == SCHEMA_LIMIT:
            raise UnreadableError(f"its schema has more than {SCHEMA_LIMIT} rows")
        kind, name, _, page, *_ = [*_read_columns(payload, 5), b"", b"", b"", b""]
        if kind == b"table" and name.lower() == table.lower().encode():
            root = int.from_bytes(page, "big")
    if not root:
        raise UnreadableError(f"it has no table {table}")
    for count, (number, payload) in enumerate(database.read_rows(root, limit)):
        if count == rows_limit:
            raise UnreadableError(f"its table {table} has more than {rows_limit} rows")
        yield number, _read_columns(payload, columns)


def check_log(file: BinaryIO, path: str) -> None:
    """Raise UnreadableError if a write-ahead log or rollback journal has content that the database lacks."""
    head = file.read(48)
    if path.endswith("-wal"):
        # A frame counts only with the salts of the log's header (section 4.1 of the format).
        if head[:4] in _WAL_MAGICS and len(head) == 48 and head[40:48] == head[16:24]:
            raise UnreadableError("it contains changes that are not yet in the database")
    elif head[:8] == _JOURNAL_MAGIC:
        raise UnreadableError("it contains an unfinished transaction to roll back")


class _Database:
    def __init__(self, file: BinaryIO, size: int) -> None:
        file.seek(0)
        head = file.read(100)
        if len(head) < 100 or head[:16] != _MAGIC:
            raise UnreadableError("it is not a SQLite database")
        self.page_size = 65536 if head[16:18] == b"\0\1" else int.from_bytes(head[16:18], "big")
        self.usable_size = self.page_size - head[20]
        if self.page_size < 512 or self.page_size & (self.page_size - 1) or self.usable_size < 480:
            raise UnreadableError("its page size is invalid")
        if int.from_bytes(head[56:60], "big") != _UTF8:
            raise UnreadableError("its text is not UTF-8")
        self.count = size // self.page_size
        if head[24:28] == head[92:96] and int.from_bytes(head[28:32], "big") > self.count:
            raise UnreadableError("it is truncated")
        self.file = file
        self.visited_pages = bytearray(self.count + 1)

    def read_rows(self, root: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and payload of each row of the table with that root page, in order."""
        open_pages = [root]
        while open_pages:
            number = open_pages.pop()
            page = self._read_page(number)
            start = 100 if number == 1 else 0
            kind, cells = page[start], int.from_bytes(page[start + 3 : start + 5], "big")
            if kind not in (_INTERIOR, _LEAF):
                raise UnreadableError(f"page {number} is not a page of a table")
            first = start + (12 if kind == _INTERIOR else 8)
            if first + 2 * cells > self.usable_size:
                raise UnreadableError(f"page {number} has more cells than it can hold")
            pointers = [int.from_bytes(page[at : at + 2], "big") for at in range(first, first + 2 * cells, 2)]
            if kind == _INTERIOR:
                children = [int.from_bytes(page[at : at + 4], "big") for at in (*pointers, start + 8)]
                open_pages += reversed(children)
            else:
                cells_size = 0
                for start_of_cell in pointers:
                    row, payload, end = self._read_cell(page, start_of_cell, limit)
                    # Without this, a page could name one row thousands of times.
                    cells_size += max(end - start_of_cell, _CELL_MINIMUM)
                    if cells_size > self.usable_size:
                        raise UnreadableError(f"the rows of page {number} overlap")
                    yield row, payload

    def _read_cell(self, page: bytes, at: int, limit: int) -> tuple[int, bytes, int]:
        """Return the row's number, its payload, and where the cell ends in its page."""
        size, at = _read_varint(page, at)
        number, at = _read_varint(page, at)
        if size > limit:
            raise UnreadableError(f"a row has {size} bytes; no more than {limit} are read")
        local_limit, local_minimum = self.usable_size - 35, (self.usable_size - 12) * 32 // 255 - 23
        local = size
        if size > local_limit:
            local = local_minimum + (size - local_minimum) % (self.usable_size - 4)
            local = local if local <= local_limit else local_minimum
        if at + local > self.usable_size:
            raise UnreadableError("a row reaches beyond its page")
        parts, missing_size = [page[at : at + local]], size - local
        end = at + local + (4 if missing_size else 0)
        next_page = page[at + local : at + local + 4]
        while missing_size:
            overflow = self._read_page(int.from_bytes(next_page, "big"))
            next_page = overflow[:4]
            parts.append(overflow[4 : min(self.usable_size, 4 + missing_size)])
            missing_size -= len(parts[-1])
        return number, b"".join(parts), end

    def _read_page(self, number: int) -> bytes:
        if not 0 < number <= self.count:
            raise UnreadableError(f"it references page {number}, which does not exist")
        if self.visited_pages[number]:
            raise UnreadableError(f"page {number} is referenced twice")
        self.visited_pages[number] = 1
        self.file.seek((number - 1) * self.page_size)
        page = self.file.read(self.page_size)
        if len(page) != self.page_size:
            raise UnreadableError("it is truncated")
        return page


def _read_columns(payload: bytes, count: int) -> list[bytes]:
    """Return the first columns of a record."""
    end, at = _read_varint(payload, 0)
    values: list[bytes] = []
    value = end
    while at < end and len(values) < count:
        kind, at = _read_varint(payload, at)
        size = (kind - 12) // 2 if kind >= 12 else _INTEGER_SIZES[kind] if kind < 10 else 0
        values.append(b"\1" if kind == 9 else payload[value : value + size])
        value += size
    if value > len(payload):
        raise UnreadableError("a row reaches beyond its end")
    return values


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read the number at `at`; return it and the position after it."""
    value = 0
    for index in range(at, at + 8):
        if index >= len(data):
            raise UnreadableError("a row reaches beyond its page")
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    if at + 8 >= len(data):
        raise UnreadableError("a row reaches beyond its page")
    return value << 8 | data[at + 8], at + 9
