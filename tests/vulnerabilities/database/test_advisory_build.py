"""Building the advisory database from a folder: what gets in, what it then says of itself, what never replaces it."""

import fcntl
import json
import sqlite3
from pathlib import Path

import pytest
from tests.vulnerabilities.database.samples import (
    FEEDS,
    NOW,
    NOW_TEXT,
    build_database,
    make_inventory,
    make_package,
    write_folder,
)
from tests.vulnerabilities.feeds.feed_files import (
    Json,
    make_bulletin,
    make_cvss,
    make_entry,
    make_epss,
    make_fixed_range,
    make_kev,
    pack_updateinfo,
    record,
    write_files,
)

from dockgate.shared.errors import ConflictError, DatabaseError, DefinitionError, DockgateError, UnreadableError
from dockgate.vulnerabilities.database.build import build
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.writer import Writer
from dockgate.vulnerabilities.model import Coverage, Cve, Range, Rating, Severity, select_ecosystems

VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
WORSE, BETTER = VECTOR, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"
DEBIAN: list[Json | bytes] = [
    record("DEBIAN-CVE-1", make_entry("Debian:13", "zlib", *make_fixed_range("2")), upstream=["CVE-1"]),
    record("DSA-1", make_entry("Debian:12", "zlib", *make_fixed_range("1")), upstream=["CVE-1", "CVE-2"]),
]
PYPI: list[Json | bytes] = [
    record("PYSEC-1", make_entry("PyPI", "Jinja2", *make_fixed_range("3")), aliases=["CVE-2", "GHSA-1"])
]


def declare(folder: Path, ecosystems: object) -> None:
    (folder / "coverage.json").write_text(json.dumps({"ecosystems": ecosystems}))


def test_complete_exports_cover_the_releases_in_them(path: Path, tmp_path: Path) -> None:
    result = build_database(path, write_folder(tmp_path / "feeds", {"Debian": DEBIAN, "PyPI": PYPI}))
    with Database.open(path) as database:
        assert database.digest == result.digest
        assert database.list_coverage() == (
            Coverage("Debian:12", True, (), NOW_TEXT),
            Coverage("Debian:13", True, (), NOW_TEXT),
            Coverage("PyPI", True, (), NOW_TEXT),
        )


def test_a_record_without_release_does_not_cover_the_whole_distribution(path: Path, tmp_path: Path) -> None:
    everywhere = record("DEBIAN-CVE-2", make_entry("Debian", "xz-utils", *make_fixed_range("2")))
    build_database(path, write_folder(tmp_path / "feeds", {"Debian": [*DEBIAN, everywhere]}))
    with Database.open(path) as database:
        assert [row.ecosystem for row in database.list_coverage()] == ["Debian:12", "Debian:13"]


def test_missing_feeds_are_named(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI})
    files = ("amazon/RELEASE/updateinfo.xml.gz", "cvss.csv.gz", "epss.csv.gz", "kev.json")
    assert build_database(path, folder).missing_feeds == tuple(f"no {file} in {folder}" for file in files)


def test_a_folder_that_covers_nothing_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="has no advisories"):
        build_database(path, tmp_path)
    with pytest.raises(DatabaseError, match="has no advisories for any ecosystem"):
        build_database(path, write_folder(tmp_path, {}, kev_json=make_kev({"CVE-1": "2024-01-01"})))
    assert not path.exists()


def test_the_coverage_has_the_catalogues_after_the_ecosystems(path: Path, tmp_path: Path) -> None:
    """As the port says: pages and calls take from it whether KEV and EPSS were read, and when."""
    build_database(path, write_folder(tmp_path / "feeds", {"PyPI": PYPI}, kev_json=make_kev({"CVE-2": "2023-01-01"})))
    with Database.open(path) as database:
        assert [(row.ecosystem, row.checked_at) for row in database.list_coverage()] == [
            ("PyPI", NOW_TEXT),
            ("kev", NOW_TEXT),
        ]
        assert database.list_coverage()[1:] == database.read_catalogues(()).coverage
        assert [row.ecosystem for row in select_ecosystems(database.list_coverage())] == ["PyPI"]


def test_a_snapshot_includes_facts_about_the_cves_of_its_advisories(path: Path, tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "feeds",
        {"Debian": DEBIAN, "PyPI": PYPI},
        cvss_csv_gz=make_cvss(("CVE-1", "3.1", BETTER, ""), ("CVE-9", "3.1", WORSE, "")),
        kev_json=make_kev({"CVE-2": "2023-01-01", "CVE-8": "2023-01-01"}, due="2023-02-01"),
        epss_csv_gz=make_epss(("CVE-1", "0.25", "0.75"), ("CVE-7", "0.5", "0.5")),
    )
    build_database(path, folder)
    low = Cve("CVE-1", Rating("cve", Severity.MEDIUM, 5.3, BETTER), epss=0.25, percentile=0.75)
    listed_cve = Cve("CVE-2", exploited="2023-01-01", due="2023-02-01")
    with Database.open(path) as database:
        assert database.read_snapshot([make_inventory(make_package("Debian:12", "zlib"))]).cves == (low, listed_cve)
        assert database.read_snapshot([make_inventory(make_package("Debian:13", "zlib"))]).cves == (low,)
        assert database.read_snapshot([make_inventory(make_package("PyPI", "jinja2"))]).cves == (listed_cve,)
        assert all(
            row.ratings == ()
            for row in database.read_snapshot([make_inventory(make_package("PyPI", "jinja2"))]).advisories
        )


def test_a_record_id_that_is_a_cve_is_looked_up(path: Path, tmp_path: Path) -> None:
    value = record("CVE-3", make_entry("PyPI", "a", *make_fixed_range("1")))
    build_database(
        path, write_folder(tmp_path / "f", {"PyPI": [value]}, cvss_csv_gz=make_cvss(("CVE-3", "3.1", WORSE, "")))
    )
    with Database.open(path) as database:
        (cve,) = database.read_snapshot([make_inventory(make_package("PyPI", "a"))]).cves
    assert cve.rating == Rating("cve", Severity.CRITICAL, 9.8, WORSE)


def test_amazon_linux_is_covered_by_its_own_feed(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI})
    write_files(
        folder, {"amazon/2023/updateinfo.xml.gz": pack_updateinfo(make_bulletin("ALAS2023-1", {"name": "curl"}))}
    )
    build_database(path, folder)
    with Database.open(path) as database:
        result = database.read_snapshot(
            [make_inventory(make_package("Amazon Linux:2023", "curl"), make_package("Amazon Linux:2", "curl"))]
        )
    assert [row.id for row in result.advisories] == ["ALAS2023-1"]
    assert result.coverage == (Coverage("Amazon Linux:2023", True, (), NOW_TEXT),)


def test_a_partial_snapshot_can_include_amazon_linux(path: Path, tmp_path: Path) -> None:
    folder = write_files(
        tmp_path, {"amazon/2023/updateinfo.xml.gz": pack_updateinfo(make_bulletin("ALAS2023-1", {"name": "curl"}))}
    )
    declare(folder, {"Amazon Linux:2023": ["curl"]})
    build_database(path, folder)
    with Database.open(path) as database:
        assert database.list_coverage() == (Coverage("Amazon Linux:2023", False, ("curl",), NOW_TEXT),)
    declare(folder, {"Amazon Linux:2": ["curl"]})
    with pytest.raises(DefinitionError, match="Amazon Linux:2,"):
        build_database(path, folder)


def test_the_digest_changes_with_the_content_of_the_folder(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"Debian": DEBIAN, "PyPI": PYPI})
    first = build_database(path, folder).digest
    assert build_database(path, folder).digest == first
    assert build_database(tmp_path / "elsewhere.db", folder).digest == first
    second = record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("4")))
    assert build_database(path, write_folder(tmp_path / "feeds", {"PyPI": [second]})).digest != first


# --- partial snapshots -------------------------------------------------------------------------------------------


def test_a_partial_snapshot_covers_the_names_in_coverage_json(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"Debian": DEBIAN, "PyPI": PYPI})
    declare(folder, {"Debian:13": ["zlib", "bash"], "PyPI": ["Jinja2", "zope.interface"]})
    build_database(path, folder)
    with Database.open(path) as database:
        assert database.list_coverage() == (
            Coverage("Debian:13", False, ("bash", "zlib"), NOW_TEXT),
            Coverage("PyPI", False, ("jinja2", "zope-interface"), NOW_TEXT),
        )
        request = make_inventory(make_package("Debian:13", "zlib"), make_package("Debian:12", "zlib"))
        assert database.read_snapshot([request]).coverage == (Coverage("Debian:13", False, ("zlib",), NOW_TEXT),)


@pytest.mark.parametrize("ecosystems", [None, [], {"PyPI": "jinja2"}, {"PyPI": [1]}, {"PyPI": [""]}])
def test_a_coverage_json_of_another_form_is_refused(ecosystems: object, path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI})
    declare(folder, ecosystems)
    with pytest.raises(DefinitionError, match="ecosystems"):
        build_database(path, folder)
    assert not path.exists()


def test_an_unreadable_coverage_json_never_means_complete_exports(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI}, coverage_json=b"{")
    with pytest.raises(DefinitionError, match=r"coverage\.json"):
        build_database(path, folder)


def test_every_ecosystem_in_coverage_json_needs_an_export(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI})
    declare(folder, {"PyPI": ["jinja2"], "npm": ["left-pad"]})
    with pytest.raises(DefinitionError, match="npm"):
        build_database(path, folder)


# --- what cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_declared", [False, True])
def test_an_unreadable_record_ends_the_coverage_of_its_ecosystem(is_declared: bool, path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"Debian": [*DEBIAN, b"{"], "PyPI": PYPI})
    if is_declared:
        declare(folder, {"Debian:12": ["zlib"], "Debian:13": ["zlib"], "PyPI": ["jinja2"]})
    result = build_database(path, folder)
    (debian,) = (part for part in result.parts if part.name == "Debian")
    assert [(fault.name, fault.is_contained) for fault in debian.faults] == [("broken-2.json", False)]
    with Database.open(path) as database:
        assert [(row.ecosystem, row.is_complete) for row in database.list_coverage()] == [
            ("Debian:12", False),
            ("Debian:13", False),
            ("PyPI", not is_declared),
        ]
        assert database.read_snapshot([make_inventory(make_package("Debian:13", "zlib"))]).coverage[0].names == ()
        assert {part.faults for part in database.list_parts() if part.name == "Debian"} == {debian.faults}


def test_an_unreadable_entry_leaves_only_its_package_undetermined(path: Path, tmp_path: Path) -> None:
    broken_record = record("PYSEC-2", make_entry("PyPI", "bad", {"until": "1"}))
    build_database(path, write_folder(tmp_path / "feeds", {"PyPI": [*PYPI, broken_record]}))
    with Database.open(path) as database:
        assert database.list_coverage() == (Coverage("PyPI", True, (), NOW_TEXT),)
        (row,) = database.read_snapshot([make_inventory(make_package("PyPI", "bad"))]).advisories
    assert row.ranges == (Range("ECOSYSTEM", ()),)


def test_a_release_that_its_publisher_removed_is_not_covered(path: Path, tmp_path: Path) -> None:
    """What is left of it are records that were withdrawn, and some that were forgotten."""
    noble: list[Json | bytes] = [
        record(f"U-{n}", make_entry("Ubuntu:24.04:LTS", f"p{n}", *make_fixed_range("2"))) for n in range(499)
    ]
    withdrawn_record = record(
        "U-A", make_entry("Ubuntu:24.10", "zlib", *make_fixed_range("2")), withdrawn="2026-01-01T00:00:00Z"
    )
    remaining = record("U-B", make_entry("Ubuntu:25.04", "zlib", *make_fixed_range("2")))
    build_database(path, write_folder(tmp_path / "feeds", {"Ubuntu": [*noble, withdrawn_record, remaining]}))
    with Database.open(path) as database:
        assert [coverage.ecosystem for coverage in database.list_coverage()] == ["Ubuntu:24.04:LTS", "Ubuntu:25.04"]
    build_database(
        path,
        write_folder(
            tmp_path / "feeds",
            {
                "Ubuntu": [
                    *noble,
                    record("U-C", make_entry("Ubuntu:24.04:LTS", "zlib", *make_fixed_range("2"))),
                    withdrawn_record,
                    remaining,
                ]
            },
        ),
    )
    with Database.open(path) as database:
        assert [coverage.ecosystem for coverage in database.list_coverage()] == ["Ubuntu:24.04:LTS"]


@pytest.mark.parametrize("file", ["osv/PyPI/all.zip", "kev.json", "cvss.csv.gz"])
def test_an_unreadable_file_keeps_the_previous_database(file: str, path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI}, kev_json=make_kev({}), cvss_csv_gz=make_cvss())
    digest = build_database(path, folder).digest
    (folder / file).write_bytes(b"nonsense")
    with pytest.raises(UnreadableError) as error_info:
        build_database(path, folder)
    assert str(folder) in str(error_info.value)
    assert error_info.value.advice
    with Database.open(path) as database:
        assert database.digest == digest
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + ".lock"]


def test_the_remains_of_an_interrupted_build_are_overwritten(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.with_name(path.name + ".new").write_bytes(b"half")
    build_database(path, write_folder(tmp_path / "feeds", {"PyPI": PYPI}))
    Database.open(path).close()


def test_a_journal_of_an_interrupted_build_is_not_applied_to_the_next(path: Path, tmp_path: Path) -> None:
    build_database(path, write_folder(tmp_path / "feeds", {"PyPI": PYPI}))
    half = sqlite3.connect(tmp_path / "half", isolation_level=None)
    half.executescript("PRAGMA synchronous = OFF; BEGIN; CREATE TABLE part (id INTEGER);")
    path.with_name(f"{path.name}.new-journal").write_bytes((tmp_path / "half-journal").read_bytes())
    half.close()
    with Writer(path, is_copy=True) as writer:
        assert writer.has_coverage


def test_an_open_reader_keeps_its_content_while_the_file_is_replaced(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI})
    build_database(path, folder)
    request = [make_inventory(make_package("PyPI", "jinja2"))]
    with Database.open(path) as old:
        before = old.read_snapshot(request)
        build_database(
            path,
            write_folder(folder, {"PyPI": [record("PYSEC-9", make_entry("PyPI", "jinja2", *make_fixed_range("9")))]}),
        )
        assert old.read_snapshot(request) == before
    with Database.open(path) as new:
        assert [row.id for row in new.read_snapshot(request).advisories] == ["PYSEC-9"]


def test_a_second_writer_is_refused(path: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "feeds", {"PyPI": PYPI})
    build_database(path, folder)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="updates the advisory database"):
            build_database(path, folder)


def test_progress_is_reported_by_part(path: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    build(path, FEEDS, write_folder(tmp_path / "feeds", {"PyPI": PYPI}), NOW, lines.append)
    assert lines == ["osv PyPI: 1 statements"]


def test_every_error_has_advice(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DockgateError) as error_info:
        build_database(path, tmp_path)
    assert "osv/ECOSYSTEM/all.zip" in str(error_info.value.advice)
