"""The database as one file: what goes with it, and what is never put in place of a good one."""

import gc
import hashlib
import json
import resource
import signal
import sqlite3
import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from tests.vulnerabilities.database.samples import (
    NOW,
    NOW_TEXT,
    build_database,
    make_inventory,
    make_package,
    write_folder,
)
from tests.vulnerabilities.feeds.feed_files import make_entry, make_fixed_range, make_kev, record

from dockgate.shared.errors import ConflictError, DatabaseError, DeniedError, UnavailableError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.transfer import Header, pack, unpack

ENVELOPE = b'{"signed": true}'


def sign(statement: bytes) -> bytes:
    return ENVELOPE


def trust_all(statement: bytes, header: Header, envelope: bytes) -> None:
    """Trusts every export."""


RECORD = record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("3")), aliases=["CVE-1"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "there" / "advisories.db"
    build_database(
        path, write_folder(tmp_path / "feeds", {"PyPI": [RECORD]}, kev_json=make_kev({"CVE-1": "2024-01-01"}))
    )
    return path


@pytest.fixture
def file(path: Path, tmp_path: Path) -> Path:
    pack(path, tmp_path / "advisories.zst", sign)
    return tmp_path / "advisories.zst"


def test_an_export_is_imported_unchanged_with_its_check_times(path: Path, file: Path, tmp_path: Path) -> None:
    imported_path = tmp_path / "here" / "advisories.db"
    header = unpack(file, imported_path, trust_all)
    assert imported_path.read_bytes() == path.read_bytes()
    with Database.open(imported_path) as database:
        assert database.digest == header.digest
        assert {part.checked_at for part in database.list_parts()} == {NOW_TEXT}
        assert [
            row.id for row in database.read_snapshot([make_inventory(make_package("PyPI", "jinja2"))]).advisories
        ] == ["PYSEC-1"]
    assert unpack(file, imported_path, trust_all) == header


def test_an_export_is_a_zstd_file_for_any_tool(path: Path, file: Path) -> None:
    data = file.read_bytes()
    for _ in range(2):  # the header, and what signs it
        magic, size = struct.unpack_from("<II", data)
        assert magic & 0xFFFFFFF0 == 0x184D2A50
        data = data[8 + size :]
    assert zstandard.ZstdDecompressor().decompress(data) == path.read_bytes()


def test_exporting_a_missing_database_fails(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no advisory database"):
        pack(tmp_path / "none.db", tmp_path / "out", sign)
    assert not (tmp_path / "out").exists()


def test_an_unwritable_export_file_is_reported(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be written"):
        pack(path, tmp_path / "nowhere" / "out", sign)


def split_header(data: bytes) -> tuple[dict[str, object], bytes]:
    (size,) = struct.unpack_from("<I", data, 4)
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(data: bytes, **changes: object) -> bytes:
    header, content = split_header(data)
    new_header = json.dumps(header | changes).encode()
    return data[:4] + struct.pack("<I", len(new_header)) + new_header + content


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "did not write it"),
        (lambda data: b"nonsense" * 100, "did not write it"),
        (lambda data: data[:6], "did not write it"),
        (lambda data: data[:4] + struct.pack("<I", 2**31) + data[8:], "did not write it"),
        (lambda data: data[:40], "header cannot be read"),
        (lambda data: with_header(data, more=1), "header cannot be read"),
        (lambda data: with_header(data, kind="something"), "something else"),
        (lambda data: with_header(data, size=-1), "something else"),
        (lambda data: with_header(data, size="big"), "something else"),
        (lambda data: with_header(data, format=99), "format 99"),
        (lambda data: with_header(data, size=10), "does not match"),
        (lambda data: with_header(data, content="0" * 64), "does not match"),
        (lambda data: with_header(data, digest="sha256:0"), "another digest"),
        (lambda data: data[:-20], "damaged|does not match"),
        (lambda data: data[:-9] + b"\xff" * 9, "damaged"),
    ],
)
def test_an_export_that_does_not_match_its_header_keeps_the_database(
    damage: Callable[[bytes], bytes], reason: str, path: Path, file: Path
) -> None:
    file.write_bytes(damage(file.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=reason) as error_info:
        unpack(file, path, trust_all)
    assert error_info.value.advice
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + ".lock"]


def test_a_compression_bomb_is_not_unpacked_beyond_its_stated_size(path: Path, file: Path) -> None:
    header, _ = split_header(file.read_bytes())
    data = with_header(file.read_bytes())
    _, content = split_header(data)
    bomb = zstandard.compress(b"\0" * 50_000_000)
    file.write_bytes(data[: len(data) - len(content)] + bomb)
    with pytest.raises(DatabaseError, match="does not match"):
        unpack(file, path, trust_all)
    assert header["size"] == path.stat().st_size


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END",
        "ALTER TABLE score RENAME TO old; CREATE VIEW score AS SELECT * FROM old",
    ],
)
def test_a_database_with_other_tables_is_refused(change: str, path: Path, file: Path, tmp_path: Path) -> None:
    sql = sqlite3.connect(path)
    sql.executescript(change)
    sql.close()
    pack(path, file, sign)
    with pytest.raises(DatabaseError, match="tables"):
        unpack(file, tmp_path / "here.db", trust_all)
    assert not (tmp_path / "here.db").exists()


def test_a_failed_check_of_tables_closes_the_database(path: Path, file: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(b"percentile")
    data[at] = 0xFF  # a column's name that is not UTF-8: SQLite takes it, Python does not
    changed_path = tmp_path / "changed.db"
    changed_path.write_bytes(data)
    pack(changed_path, file, sign)
    with pytest.raises(DatabaseError, match="broken"):
        unpack(file, path, trust_all)
    gc.collect()  # warns of a connection that is still open


def test_an_import_fails_while_another_process_writes(path: Path, file: Path) -> None:
    import fcntl

    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError):
            unpack(file, path, trust_all)


def test_a_missing_export_file_is_reported(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be read"):
        unpack(tmp_path / "none", path, trust_all)


@pytest.mark.parametrize("fault", ["a full disk", "a folder in the way"])
def test_an_unwritable_database_folder_is_reported(fault: str, file: Path, tmp_path: Path) -> None:
    destination = tmp_path / "elsewhere" / "advisories.db"
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if fault == "a folder in the way":
        (destination.parent / "advisories.db.lock").mkdir(parents=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, usual[1]))
    try:
        with pytest.raises(UnavailableError, match=r"elsewhere/advisories\.db cannot be written"):
            unpack(file, destination, trust_all)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, old_handler)


def test_the_header_describes_the_database(path: Path, file: Path) -> None:
    header, _ = split_header(file.read_bytes())
    assert set(header) == set(Header.__dataclass_fields__)
    assert header["size"] == path.stat().st_size


def test_trust_is_checked_before_anything_is_unpacked(path: Path, file: Path, tmp_path: Path) -> None:
    request: list[tuple[bytes, str, bytes]] = []

    def trust_none(statement: bytes, header: Header, envelope: bytes) -> None:
        request.append((statement, header.content, envelope))
        raise DeniedError("no key is trusted")

    data = file.read_bytes()
    for damaged_data in (data, data[:-100], b"".join(split_frame(data)) + zstandard.compress(b"\0" * 50_000_000)):
        file.write_bytes(damaged_data)
        with pytest.raises(DeniedError, match="no key is trusted"):
            unpack(file, tmp_path / "here.db", trust_none)
    first_frame, _ = split_frame(data)
    assert request[0] == (first_frame[8:], hashlib.sha256(path.read_bytes()).hexdigest(), ENVELOPE)
    assert request[2][2] == b""
    assert not (tmp_path / "here.db").exists()


def split_frame(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from("<I", data, 4)
    return data[: 8 + size], b""


def test_an_older_export_replaces_a_newer_database_only_if_allowed(path: Path, file: Path) -> None:
    """Signed as it is: who replays it hides what has become known since."""
    feeds = write_folder(path.parent / "later", {"PyPI": [RECORD]}, kev_json=make_kev({"CVE-1": "2024-01-01"}))
    build_database(path, feeds, NOW + timedelta(hours=1))
    newer = path.read_bytes()
    with pytest.raises(ConflictError, match=r"older than the present database: kev, osv PyPI missing") as error:
        unpack(file, path, trust_all)
    assert "--allow-older" in str(error.value.advice)
    assert path.read_bytes() == newer
    assert unpack(file, path, trust_all, can_be_older=True).size
    with Database.open(path) as database:
        assert {part.checked_at for part in database.list_parts()} == {NOW_TEXT}


def test_an_export_that_lacks_a_feed_counts_as_older(path: Path, tmp_path: Path) -> None:
    without = tmp_path / "without.db"
    build_database(without, write_folder(tmp_path / "without", {"PyPI": [RECORD]}), NOW + timedelta(hours=1))
    pack(without, tmp_path / "without.zst", sign)
    with pytest.raises(ConflictError, match="present database: kev missing"):
        unpack(tmp_path / "without.zst", path, trust_all)


def test_a_broken_database_is_replaced_by_any_export(path: Path, file: Path) -> None:
    path.write_bytes(b"broken")
    assert unpack(file, path, trust_all).size == path.stat().st_size
