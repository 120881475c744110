"""The texts of records in the database, compressed in blocks: a text alone compresses badly.

A block has the texts of consecutive records of one part. Its key is the number of its first record.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from dockgate.vulnerabilities.model import AdvisoryText

# Texts in a block.
_BLOCK = 64

# The texts of a block as JSON arrays (id, details, references, weaknesses), by the number of their record.
_Texts = dict[str, list[object]]


class TextWriter:
    """A writer of the texts of one part. `flush` writes those that wait for their block to be full."""

    def __init__(self, sql: sqlite3.Connection, part: int) -> None:
        self._sql = sql
        self._part = part
        self._texts: _Texts = {}

    def add(self, record: int, text: AdvisoryText) -> None:
        """Write the text of the record with this number, the last one of the part so far."""
        self._texts[str(record)] = [text.id, text.details, text.references, text.weaknesses]
        if len(self._texts) == _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write the texts that wait."""
        if self._texts:
            row = next(iter(self._texts)), self._part, _pack(self._texts)
            self._sql.execute("INSERT INTO text_block VALUES (?, ?, ?)", row)
            self._texts = {}


def erase_texts(sql: sqlite3.Connection, records: Iterable[int]) -> None:
    """Remove the texts of the records with these numbers, and blocks that are empty then."""
    keys = set(map(str, records))
    for first, texts in list(_read_blocks(sql, map(int, keys))):
        texts = {record: text for record, text in texts.items() if record not in keys}
        if texts:
            sql.execute("UPDATE text_block SET body = ? WHERE first = ?", (_pack(texts), first))
        else:
            sql.execute("DELETE FROM text_block WHERE first = ?", (first,))


def read_texts(sql: sqlite3.Connection, records: Sequence[int]) -> Iterator[AdvisoryText]:
    """The texts of the records with these numbers, as far as they have one."""
    keys = {str(record) for record in records}
    for _, texts in _read_blocks(sql, records):
        for record in keys & texts.keys():
            name, details, references, weaknesses = texts[record]
            yield AdvisoryText(str(name), details and str(details), tuple(references), tuple(weaknesses))  # type: ignore[arg-type]


def _read_blocks(sql: sqlite3.Connection, records: Iterable[int]) -> Iterator[tuple[int, _Texts]]:
    """The blocks that may have texts of these records."""
    import zstandard

    query = "SELECT max(first) FROM text_block WHERE first <= ?"
    keys = {row[0] for record in records if (row := sql.execute(query, (record,)).fetchone())[0] is not None}
    for key in sorted(keys):
        ((body,),) = sql.execute("SELECT body FROM text_block WHERE first = ?", (key,))
        yield key, json.loads(zstandard.decompress(body))


def _pack(texts: _Texts) -> bytes:
    import zstandard

    return zstandard.compress(json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode())
