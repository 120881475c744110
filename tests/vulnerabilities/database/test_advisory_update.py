"""Update the advisory database over HTTP."""

import sqlite3
from pathlib import Path

import pytest
from tests.vulnerabilities.database.samples import FEEDS, NOW, NOW_TEXT, build_database, write_folder
from tests.vulnerabilities.database.updates import (
    CVSS,
    DEBIAN,
    EPSS,
    KEV,
    LATER,
    LATER_TEXT,
    PYPI,
    VECTOR,
    make_pypi_export,
    make_pypi_record,
    make_urls,
    read_check_times,
    read_snapshot,
    run_update,
)
from tests.vulnerabilities.feeds.feed_files import (
    export,
    make_entry,
    make_fixed_range,
    record,
)
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.shared.errors import DatabaseError, UnavailableError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.update import update
from dockgate.vulnerabilities.feeds.osv import Osv
from dockgate.vulnerabilities.model import Cve, Rating, Severity


def test_the_first_update_fetches_everything(path: Path, site: Site) -> None:
    result = run_update(path, site)
    assert (result.missing_feeds, result.unchanged_parts, result.failures) == ((), (), ())
    results = read_snapshot(path)
    assert [row.id for row in results.advisories] == ["DSA-1", "PYSEC-1"]
    assert results.cves == (Cve("CVE-1", Rating("cve", Severity.CRITICAL, 9.8, VECTOR), "2024-01-01", None, 0.5, 0.9),)
    assert [(row.ecosystem, row.is_complete, row.checked_at) for row in results.coverage] == [
        ("Debian:13", True, NOW_TEXT),
        ("PyPI", True, NOW_TEXT),
        ("epss", True, NOW_TEXT),
        ("kev", True, NOW_TEXT),
    ]


def test_an_unchanged_feed_counts_as_checked(path: Path, site: Site) -> None:
    first = run_update(path, site)
    before = read_snapshot(path)
    site.requests.clear()
    result = run_update(path, site, later=True)
    request = [url for url in site.requests if not url.endswith("404")]
    assert sorted(request) == [f"{CVSS} 304", f"{EPSS} 304", f"{KEV} 304", f"{DEBIAN} 304", f"{PYPI} 304"]
    assert result.unchanged_parts == ("cvss", "epss", "kev", "osv Debian", "osv PyPI")
    after = read_snapshot(path)
    assert (after.advisories, after.cves) == (before.advisories, before.cves)
    assert {row.checked_at for row in after.coverage} == {LATER_TEXT}
    assert result.digest != first.digest
    with Database.open(path) as database:
        assert {part.changed_at for part in database.list_parts()} == {NOW_TEXT}


def test_only_changed_parts_are_parsed_again(path: Path, site: Site) -> None:
    run_update(path, site)
    site.files[PYPI] = make_pypi_export("4")
    result = run_update(path, site, later=True)
    assert result.unchanged_parts == ("cvss", "epss", "kev", "osv Debian")
    rows = {row.id: row for row in read_snapshot(path).advisories}
    assert rows["PYSEC-1"].ranges[0].events[-1] == ("fixed", "4")
    assert rows["DSA-1"].upstream == ("CVE-1",)


def test_many_updates_keep_unchanged_parts(path: Path, site: Site) -> None:
    run_update(path, site)
    before = read_snapshot(path)
    for version in ("4", "5", "3"):
        site.files[PYPI] = make_pypi_export(version)
        run_update(path, site)
    assert read_snapshot(path) == before


def test_a_part_from_another_url_is_always_fetched(path: Path, site: Site, tmp_path: Path) -> None:
    partial = write_folder(
        tmp_path / "feeds", {"PyPI": [record("PYSEC-9", make_entry("PyPI", "x", *make_fixed_range("1")))]}
    )
    (partial / "coverage.json").write_text('{"ecosystems": {"PyPI": ["x"]}}')
    build_database(path, partial)
    run_update(path, site, later=True)
    result = read_snapshot(path)
    assert [row.id for row in result.advisories] == ["DSA-1", "PYSEC-1"]
    assert all(row.is_complete for row in result.coverage)


def test_parts_of_other_ecosystems_are_kept(path: Path, site: Site) -> None:
    run_update(path, site)
    update(path, FEEDS, make_urls(site), ("PyPI",), LATER, lambda line: None)
    assert [row.id for row in read_snapshot(path).advisories] == ["DSA-1", "PYSEC-1"]
    assert read_check_times(path)["osv Debian"] == NOW_TEXT


def test_a_new_parser_version_fetches_the_part_again(path: Path, site: Site) -> None:
    class NewOsv(Osv):
        version = Osv.version + 1

    run_update(path, site)
    site.requests.clear()
    other_feeds = tuple(feed for feed in FEEDS if feed.name != "osv")
    run_update(path, site, feeds=(*other_feeds, NewOsv()))
    assert f"{PYPI} 200" in site.requests
    assert f"{KEV} 304" in site.requests


def test_a_broken_database_is_rebuilt(path: Path, site: Site) -> None:
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    assert run_update(path, site).failures == ()
    assert len(read_snapshot(path).advisories) == 2


def test_a_truncated_database_is_reported_and_kept(path: Path, site: Site) -> None:
    run_update(path, site)
    with sqlite3.connect(path) as sql:
        sql.execute("DROP TABLE record")
        sql.execute("CREATE TABLE record (nonsense)")
    sql.close()
    before = path.read_bytes()
    with pytest.raises((DatabaseError, UnavailableError)) as error_info:
        run_update(path, site, later=True)
    assert error_info.value.advice
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + ".lock"]


def test_damaged_pages_are_reported_and_kept(path: Path, site: Site) -> None:
    site.files[PYPI] = export(*(make_pypi_record(f"P-{number}", "jinja2") for number in range(2000)))
    run_update(path, site)
    data = bytearray(path.read_bytes())
    middle = len(data) // 16384 * 8192
    data[middle : middle + 16384] = b"\xff" * 16384
    path.write_bytes(data)
    site.files[PYPI] = make_pypi_export("4")
    with pytest.raises(DatabaseError, match="is broken"):
        run_update(path, site, later=True)
    assert path.read_bytes() == bytes(data)


def test_secrets_in_a_url_are_not_written_down(path: Path, site: Site) -> None:
    only_osv = tuple(feed for feed in FEEDS if feed.name == "osv")
    secret = site.url.replace("//", "//user:secret@") + "/osv"
    assert update(path, only_osv, {"osv": secret}, ("PyPI",), NOW, lambda line: None).failures == ()
    assert b"secret" not in path.read_bytes()


def test_the_database_lists_the_parts_of_the_update(path: Path, site: Site) -> None:
    result = run_update(path, site)
    with Database.open(path) as database:
        assert tuple(database.list_parts()) == result.parts
    assert [part.statements for part in result.parts] == [1, 1, 1, 1, 1]
