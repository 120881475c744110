"""The three forms of rpm's database, broken on purpose: each is unreadable with a reason, in bounded time."""

import gzip
import io
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.test_rpm_header import BASH, make_header

from dockgate.scanner.ecosystems.rpm import ECOSYSTEM, ndb
from dockgate.scanner.ecosystems.rpm.database import PACKAGES_LIMIT, UNREAD_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

DATA = Path(__file__).parent / "data" / "rpm"
SQLITE, NDB, BDB = "var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/Packages.db", "var/lib/rpm/Packages"
MADE = {
    path: gzip.decompress((DATA / name).read_bytes())
    for path, name in ((SQLITE, "rpmdb.sqlite.gz"), (NDB, "Packages.db.gz"), (BDB, "Packages-little.gz"))
}
PAGE = 4096


def read(path: str, content: bytes) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def read_refusal(path: str, content: bytes) -> str:
    with pytest.raises(UnreadableError) as error_info:
        read(path, content)
    return str(error_info.value)


def patch_content(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def make_database(
    path: Path, *blobs: bytes, schema: str = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"
) -> bytes:
    """A SQLite database of pages of 512 bytes with these headers."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute(schema)
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
        connection.commit()
    return path.read_bytes()


# --- all three ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MADE)
@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"\x7fELF" * 2048], ids=["nothing", "zeros", "a program"])
def test_other_files_are_not_a_database(path: str, content: bytes) -> None:
    assert "it is not " in read_refusal(path, content)


@pytest.mark.parametrize("path", MADE)
def test_a_database_cut_short_is_unreadable(path: str) -> None:
    content = MADE[path]
    for size in range(600, len(content), 10_007):
        try:
            extract = read(path, content[:size])
        except UnreadableError:
            continue
        assert extract.packages == read(path, content).packages


@pytest.mark.parametrize("path", MADE)
def test_broken_package_is_unread_and_the_others_are_read(path: str) -> None:
    extract = read(path, MADE[path].replace(b"3.16\x00", b"\x00.16\x00"))
    assert len(extract.packages) == 5
    ((where, reason),) = extract.unread_parts
    assert where.startswith("package ")
    assert reason == "it has no version"


def mutate_database(path: str, changes: list[tuple[int, int]]) -> bytes:
    content = bytearray(MADE[path])
    for at, value in changes:
        # Half of the changes go where the form keeps its structure: the first pages, and pages' heads.
        at = at % len(content) if at % 2 else (at // 2) % (len(content) // PAGE) * PAGE + at % 128
        content[at % len(content)] = value
    return bytes(content)


@pytest.mark.parametrize("path", MADE)
def test_changed_bytes_are_read_or_unreadable_but_never_crash(path: str) -> None:
    @settings(max_examples=scale_examples(300), deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 2**24), st.integers(0, 255)), min_size=1, max_size=20))
    def check(changes: list[tuple[int, int]]) -> None:
        with suppress(UnreadableError):
            read(path, mutate_database(path, changes))

    check()


# --- SQLite ------------------------------------------------------------------------------------------------------


def test_many_rows_in_many_pages_are_read_in_order(tmp_path: Path) -> None:
    blobs = [make_header(*BASH[1:], (1000, f"n{number}"), (1022, "x" * number)) for number in range(3000)]
    extract = read(SQLITE, make_database(tmp_path / "db", *blobs))
    assert [package.name for package in extract.packages] == [f"n{number}" for number in range(3000)]
    assert [len(package.arch or "") for package in extract.packages] == list(range(3000))


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE Other (blob)",
        "CREATE VIEW Packages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i FROM n",
    ],
)
def test_a_database_without_its_table_is_unreadable(schema: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute(schema)
    assert read_refusal(SQLITE, (tmp_path / "db").read_bytes()) == "it has no table Packages"


def test_a_table_without_row_numbers_is_unreadable(tmp_path: Path) -> None:
    schema = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB) WITHOUT ROWID"
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute(schema)
    assert "is not a page of a table" in read_refusal(SQLITE, (tmp_path / "db").read_bytes())


def test_pages_in_circles_are_unreadable(tmp_path: Path) -> None:
    content = make_database(tmp_path / "db", make_header(*BASH, (1044, "z" * 6000)))
    pages = [at for at in range(512, len(content), 512) if content[at + 8 : at + 12] == b"zzzz"]
    chain = patch_content(content, pages[1], (pages[0] // 512 + 1).to_bytes(4, "big"))
    assert "referenced twice" in read_refusal(SQLITE, chain)
    # The table's root becomes the parent of itself: an interior page without cells, whose last child it is.
    root = patch_content(content, 512, b"\x05\0\0\0\0\0\0\0" + (2).to_bytes(4, "big"))
    assert "page 2 is referenced twice" in read_refusal(SQLITE, root)


def test_overlapping_rows_are_unreadable(tmp_path: Path) -> None:
    content = make_database(tmp_path / "db", make_header(*BASH))
    cell = content[512 + 8 : 512 + 10]
    overlapping_content = patch_content(content, 512 + 3, (100).to_bytes(2, "big"))
    assert "overlap" in read_refusal(SQLITE, patch_content(overlapping_content, 512 + 8, cell * 100))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (16, b"\x03\x00", "page size"),
        (20, b"\xff", "page size"),
        (56, b"\0\0\0\2", "not UTF-8"),
        (28, b"\0\0\xff\xff", "truncated"),
        (512, b"\x0a", "not a page of a table"),
        (515, b"\xff\xff", "more cells than it can hold"),
        (520, b"\x01\xff", "beyond its page"),
    ],
)
def test_broken_sqlite_says_what_is_broken(at: int, value: bytes, reason: str, tmp_path: Path) -> None:
    assert reason in read_refusal(SQLITE, patch_content(make_database(tmp_path / "db", make_header(*BASH)), at, value))


def test_more_than_a_few_broken_packages_make_all_unreadable(tmp_path: Path) -> None:
    database_with_few = make_database(tmp_path / "few", *[b"?"] * UNREAD_LIMIT)
    assert len(read(SQLITE, database_with_few).unread_parts) == UNREAD_LIMIT
    assert f"more than {UNREAD_LIMIT}" in read_refusal(
        SQLITE, make_database(tmp_path / "many", *[b"?"] * (UNREAD_LIMIT + 1))
    )


def test_the_most_packages_are_read_in_bounded_time(tmp_path: Path) -> None:
    content = make_database(tmp_path / "db", *[make_header(*BASH)] * (PACKAGES_LIMIT + 1))
    before = time.process_time()
    assert f"more than {PACKAGES_LIMIT}" in read_refusal(SQLITE, content)
    assert time.process_time() - before < 10


def test_a_log_with_changes_is_unread_and_an_empty_one_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(MADE[SQLITE])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("DELETE FROM Packages WHERE hnum = 2")
        connection.commit()
        log = (tmp_path / "rpmdb.sqlite-wal").read_bytes()
    assert "changes" in read_refusal(SQLITE + "-wal", log)
    assert read(SQLITE + "-wal", b"") == read(SQLITE + "-wal", log[:32]) == Extract()
    # SQLite restarts a log with new salts in its header: the frames behind it are then invalid.
    assert read(SQLITE + "-wal", patch_content(log, 16, b"\0" * 8)) == Extract()


def test_a_journal_in_force_is_unread(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(make_database(tmp_path / "db", make_header(*BASH)))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("BEGIN EXCLUSIVE")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(b"?" * 2000,)] * 200)
        journal = (tmp_path / "rpmdb.sqlite-journal").read_bytes()
        connection.execute("ROLLBACK")
    assert "roll back" in read_refusal(SQLITE + "-journal", journal)
    assert read(SQLITE + "-journal", b"\0" * 512) == read(SQLITE + "-journal", b"") == Extract()


# --- ndb ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: patch_content(content, 4, b"\1"), "unknown version 1"),
        (lambda content: patch_content(content, 12, struct.pack("<I", 0)), "truncated"),
        (lambda content: patch_content(content, 12, struct.pack("<I", 10_000)), "truncated"),
        (lambda content: patch_content(content, 32, b"slot"), "a slot of page 0 is invalid"),
        (lambda content: patch_content(content, 48, content[32:48]), "two packages with the number 1"),
        (
            lambda content: patch_content(content, 40, struct.pack("<I", 1)),
            "package 1 is not at the position that its slot states",
        ),
        (lambda content: patch_content(content, 44, struct.pack("<I", 1)), "no more than 16 are read"),
    ],
)
def test_broken_ndb_says_what_is_broken(change: Callable[[bytes], bytes], reason: str) -> None:
    assert reason in read_refusal(NDB, change(MADE[NDB]))


def test_ndb_packages_within_each_other_are_unreadable() -> None:
    """Each blob begins 16 bytes behind the one before and goes on to the end."""
    count, end = 200, 64 * PAGE
    content = bytearray(b"RpmP" + struct.pack("<III", 0, 1, 1) + b"\0" * 16)
    for number in range(1, count + 1):
        content += struct.pack("<4sIII", b"Slot", number, PAGE // 16 + number, (end - PAGE) // 16)
    content += struct.pack("<4sIII", b"Slot", 0, 0, 0) * (PAGE // 16 - 2 - count)
    content += b"\0" * 16
    for number in range(1, count + 1):
        content += struct.pack("<4sIII", b"BlbS", number, 1, end - PAGE - 16 * (number + 1))
    content += b"\0" * (end - len(content))
    with pytest.raises(UnreadableError, match="its packages overlap"):
        list(ndb.read_headers(io.BytesIO(content), len(content), limit=end))


# --- Berkeley DB -------------------------------------------------------------------------------------------------


def test_a_berkeley_db_with_its_last_number_twice_is_unreadable() -> None:
    first = MADE[BDB].index(b"\1\1\0\0\0", PAGE)
    assert "two packages with the number 0" in read_refusal(BDB, patch_content(MADE[BDB], first + 1, b"\0"))


def list_overflow_pages(content: bytes) -> list[int]:
    return [at for at in range(PAGE, len(content), PAGE) if content[at + 25] == 7]


def test_berkeley_pages_in_circles_are_unreadable() -> None:
    content = MADE[BDB]
    for at in list_overflow_pages(content):
        if content[at + 16 : at + 20] != b"\0\0\0\0":
            assert "is referenced twice" in read_refusal(
                BDB, patch_content(content, at + 16, struct.pack("<I", at // PAGE))
            )
            return
    pytest.fail("no package needs two pages")


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (20, b"\0\3\0\0", "page size"),
        (24, b"\1", "encrypted"),
        (26, b"\1", "checksums"),
        (25, b"\x09", "not a Berkeley DB"),
        (12, b"\x62\x31\x05\0", "not a Berkeley DB"),
        (32, b"\0\0\1\0", "truncated"),
    ],
)
def test_broken_berkeley_db_says_what_is_broken(at: int, value: bytes, reason: str) -> None:
    assert reason in read_refusal(BDB, patch_content(MADE[BDB], at, value))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (16, b"\xff\xff\0\0", "which does not exist"),
        (22, b"\xff\xff", "not part"),
        (22, b"\0\0", "not part"),
        (25, b"\2", ""),
    ],
)
def test_broken_berkeley_pages_say_what_is_broken(at: int, value: bytes, reason: str) -> None:
    content = MADE[BDB]
    first = next(at for at in list_overflow_pages(content) if content[at + 16 : at + 20] != b"\0\0\0\0")
    assert reason in read_refusal(BDB, patch_content(content, first + at, value))
