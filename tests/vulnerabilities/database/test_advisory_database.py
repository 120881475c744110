"""Looking up in the advisory database: what a snapshot holds, and what is not a database."""

import sqlite3
from pathlib import Path

import pytest
from tests.vulnerabilities.database.samples import build_database, make_inventory, make_package, write_folder
from tests.vulnerabilities.feeds.feed_files import make_entry, make_fixed_range, record

from dockgate.shared.canonical import decode, encode
from dockgate.shared.errors import DatabaseError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Range, Rating, Severity

RECORDS = [
    record("DSA-2", make_entry("Debian:13", "zlib", *make_fixed_range("2"))),
    record(
        "DSA-1",
        make_entry("Debian:13", "zlib", *make_fixed_range("1")),
        make_entry("Debian:12", "zlib", *make_fixed_range("1")),
    ),
    record("DSA-3", make_entry("Debian", "zlib", *make_fixed_range("3"))),
    record("DSA-4", make_entry("Debian:13", "bash", *make_fixed_range("4"))),
]
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "advisories.db"
    npm = record(
        "GHSA-1",
        make_entry("npm", "@a/b", {"introduced": "1"}, {"fixed": "1.2"}, {"introduced": "2"}, versions=["0.9"]),
        aliases=["CVE-1"],
        upstream=["X-1"],
        summary="Ünbounded \U0001f4a5.",
        published="2026-01-01T00:00:00Z",
        withdrawn="2026-03-01T00:00:00Z",
        severity=[{"type": "CVSS_V3", "score": VECTOR}],
        details="** DISPUTED ** A flaw.",
    )
    build_database(path, write_folder(tmp_path / "feeds", {"Debian": [*RECORDS], "npm": [npm]}))
    return path


def list_ids(path: Path, *ecosystems: str) -> list[tuple[str, str]]:
    with Database.open(path) as database:
        result = database.read_snapshot([make_inventory(*(make_package(name, "zlib") for name in ecosystems))])
    return [(row.ecosystem, row.id) for row in result.advisories]


def test_a_release_gets_its_own_advisories_and_those_without_a_release(path: Path) -> None:
    assert list_ids(path, "Debian:13") == [("Debian", "DSA-3"), ("Debian:13", "DSA-1"), ("Debian:13", "DSA-2")]
    assert list_ids(path, "Debian:12") == [("Debian", "DSA-3"), ("Debian:12", "DSA-1")]


def test_two_releases_share_advisories_without_a_release(path: Path) -> None:
    assert list_ids(path, "Debian:12", "Debian:13").count(("Debian", "DSA-3")) == 1


def test_a_package_without_a_release_gets_all_advisories_and_no_coverage(path: Path) -> None:
    assert len(list_ids(path, "Debian")) == 4
    with Database.open(path) as database:
        assert database.read_snapshot([make_inventory(make_package("Debian", "zlib"))]).coverage == ()


def test_an_unknown_ecosystem_has_neither_advisories_nor_coverage(path: Path) -> None:
    with Database.open(path) as database:
        assert database.read_snapshot(
            [make_inventory(make_package("Debian:9", "bash"), make_package("PyPI", "zlib"))]
        ) == AdvisorySnapshot((), ())
        assert database.read_snapshot([make_inventory()]) == AdvisorySnapshot((), ())


def test_an_owned_package_is_not_looked_up(path: Path) -> None:
    with Database.open(path) as database:
        request = make_inventory(make_package("npm", "@a/b", owner="node-ab"), make_package("", "zlib"))
        assert database.read_snapshot([request]) == AdvisorySnapshot((), ())


def test_the_order_of_inventories_does_not_change_a_snapshot(path: Path) -> None:
    packages = [make_package("Debian:13", "zlib"), make_package("Debian:13", "bash"), make_package("npm", "@a/b")]
    with Database.open(path) as database:
        together = database.read_snapshot([make_inventory(*packages)])
        assert database.read_snapshot([make_inventory(package) for package in reversed(packages)]) == together
    assert decode(AdvisorySnapshot, encode(together)) == together


def test_a_stored_advisory_is_read_back_unchanged(path: Path) -> None:
    with Database.open(path) as database:
        (row,) = database.read_snapshot([make_inventory(make_package("npm", "@a/b"))]).advisories
    assert row == Advisory(
        id="GHSA-1",
        ecosystem="npm",
        name="@a/b",
        ranges=(Range("ECOSYSTEM", (("introduced", "1"), ("fixed", "1.2"), ("introduced", "2"))),),
        versions=("0.9",),
        aliases=("CVE-1",),
        upstream=("X-1",),
        ratings=(Rating("advisory", Severity.CRITICAL, 9.8, VECTOR),),
        summary="Ünbounded \U0001f4a5.",
        published="2026-01-01T00:00:00Z",
        modified="2026-01-02T00:00:00Z",
        withdrawn="2026-03-01T00:00:00Z",
        is_disputed=True,
    )


def test_the_advisories_of_a_name_are_those_of_every_release_and_not_its_neighbours(path: Path) -> None:
    with Database.open(path) as database:
        advisories = [(entry.ecosystem, entry.name, entry.id) for entry in database.list_advisories(["DSA-1"])]
        assert advisories == [("Debian:12", "zlib", "DSA-1"), ("Debian:13", "zlib", "DSA-1")]
        assert not database.list_advisories(["DSA", "CVE-1"])  # withdrawn


def test_packages_are_known_by_their_names_in_any_ecosystem(path: Path) -> None:
    with Database.open(path) as database:
        known_names = [name for name in ("zlib", "ZLIB", "@a/b", "zli", "*") if database.has_package([name])]
        assert known_names == ["zlib", "ZLIB", "@a/b"]
        assert database.has_package(["unknown", "zlib"])


def test_a_module_is_separate_from_the_package_outside_it(tmp_path: Path) -> None:
    value = record(
        "ALSA-1",
        make_entry("AlmaLinux:8", "nodejs", *make_fixed_range("1:18-1.module_el8+1")),
        make_entry(
            "AlmaLinux:8", "nodejs", *make_fixed_range("1:16-1.el8"), ecosystem_specific={"fix_state": "will not fix"}
        ),
        summary="Important: nodejs:18 security update",
    )
    build_database(tmp_path / "a.db", write_folder(tmp_path / "feeds", {"AlmaLinux": [value]}))
    with Database.open(tmp_path / "a.db") as database:
        rows = database.read_snapshot([make_inventory(make_package("AlmaLinux:8", "nodejs"))]).advisories
    assert [(row.module, row.note) for row in rows] == [(None, "wont-fix"), ("nodejs:18", None)]


def refuse_database(path: Path) -> str:
    with pytest.raises(DatabaseError) as error_info:
        Database.open(path)
    assert "dockgate db update" in str(error_info.value.advice)
    assert str(path) in str(error_info.value)
    return str(error_info.value)


def test_a_database_opens_at_a_path_with_characters_that_a_uri_reserves(path: Path) -> None:
    moved_path = path.with_name("100%25 a#b?mode=rw&é\udce9.db")
    path.rename(moved_path)
    assert list_ids(moved_path, "Debian:12") == [("Debian", "DSA-3"), ("Debian:12", "DSA-1")]


def test_a_missing_database_is_reported_with_the_command_to_get_one(tmp_path: Path) -> None:
    assert "there is no advisory database" in refuse_database(tmp_path / "advisories.db")
    assert "there is no advisory database" in refuse_database(tmp_path)


@pytest.mark.parametrize("data", [b"", b"nonsense" * 1000])
def test_a_file_that_is_not_a_database_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "advisories.db").write_bytes(data)
    refuse_database(tmp_path / "advisories.db")


def test_another_format_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as sql:
        sql.execute("PRAGMA user_version = 99")
    sql.close()
    assert "format 99" in refuse_database(path)


def test_a_truncated_database_is_reported_by_queries(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[16384:] = b"\xff" * (len(data) - 16384)
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match="is broken"), Database.open(path) as database:
        database.read_snapshot([make_inventory(make_package("Debian:13", "zlib"))])
