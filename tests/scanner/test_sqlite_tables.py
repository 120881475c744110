"""Tables of SQLite databases, as their own engine wrote them and as a hostile image alters them."""

import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from dockgate.scanner.formats.sqlite import read_rows
from dockgate.shared.errors import UnreadableError

PAGE = 4096


def write_table(path: Path, rows: int) -> bytes:
    """A database whose second page is the table `words`, of rows with the text `a`."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA page_size = {PAGE}")
        database.execute("CREATE TABLE words (word)")
        database.executemany("INSERT INTO words VALUES (?)", [("a",)] * rows)
        database.commit()
    return path.read_bytes()


def read_words(content: bytes, rows_limit: int = 10_000) -> list[bytes]:
    rows = read_rows(BytesIO(content), len(content), "words", limit=100, rows_limit=rows_limit)
    return [word for _, (word,) in rows]


@pytest.mark.parametrize("step", [0, 1], ids=["one row", "rows that begin in another"])
def test_a_page_that_names_bytes_again_and_again_is_unread(tmp_path: Path, step: int) -> None:
    content = bytearray(write_table(tmp_path / "db", 1))
    # Wherever a row begins in these bytes, it has eight bytes that say how it goes on: eight columns that are zero.
    content[PAGE + 3000 : PAGE + 4000] = bytes([8]) * 1000
    pointers = [3000 + step * number for number in range(500)]
    content[PAGE + 3 : PAGE + 5] = len(pointers).to_bytes(2, "big")
    content[PAGE + 8 : PAGE + 1008] = b"".join(at.to_bytes(2, "big") for at in pointers)
    with pytest.raises(UnreadableError, match="the rows of page 2 overlap"):
        list(read_rows(BytesIO(content), len(content), "words", limit=100))


def test_a_full_page_is_read(tmp_path: Path) -> None:
    """Rows leave no byte of a page unused when their sizes fit it."""
    content = write_table(tmp_path / "db", 3000)
    assert read_words(content) == [b"a"] * 3000


def test_a_table_of_too_many_rows_is_unread(tmp_path: Path) -> None:
    content = write_table(tmp_path / "db", 11)
    assert len(read_words(content, rows_limit=11)) == 11
    with pytest.raises(UnreadableError, match="its table words has more than 10 rows"):
        read_words(content, rows_limit=10)
