"""Bringing the advisory database up to date over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.advisories.making import FEEDS, NOW, NOW_TEXT, built, folder_of, inventory, package
from tests.feeds.making import cvss, entry, export, fixed, kev, record
from tests.feeds.serving import Site, serving

from dockgate.advisories.database import Database
from dockgate.advisories.schema import Result
from dockgate.advisories.update import update
from dockgate.core.model import Slice
from dockgate.core.ports import Feed
from dockgate.feeds.osv import Osv

DEBIAN, PYPI, KEV, CVSS = "/osv/Debian/all.zip", "/osv/PyPI/all.zip", "/kev.json", "/cvss.csv.gz"
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
LATER, LATER_TEXT = NOW + timedelta(hours=6), "2026-11-24T18:00:00Z"
ASKED = inventory(package("Debian:13", "zlib"), package("PyPI", "jinja2"))


def pypi(version: str) -> bytes:
    return export(record("PYSEC-1", entry("PyPI", "jinja2", *fixed(version)), aliases=["CVE-1"]))


@pytest.fixture
def site() -> Iterator[Site]:
    files = {
        DEBIAN: export(record("DSA-1", entry("Debian:13", "zlib", *fixed("2")), upstream=["CVE-1"])),
        PYPI: pypi("3"),
        KEV: kev({"CVE-1": "2024-01-01"}),
        CVSS: cvss(("CVE-1", "3.1", VECTOR, "")),
    }
    with serving(files) as site:
        yield site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "advisories.db"


def updated(path: Path, site: Site, *, later: bool = False, feeds: tuple[Feed, ...] = FEEDS) -> Result:
    urls = {"osv": f"{site.url}/osv", "kev": site.url + KEV, "cvss": site.url + CVSS}
    return update(path, feeds, urls, ("Debian", "PyPI"), LATER if later else NOW, lambda line: None)


def sliced(path: Path) -> Slice:
    with Database.open(path) as database:
        return database.slice([ASKED])


def checked(path: Path) -> dict[str, str]:
    with Database.open(path) as database:
        return {part.title: part.checked_at for part in database.parts()}


def test_the_first_update_reads_everything(path: Path, site: Site) -> None:
    result = updated(path, site)
    assert (result.missing, result.unchanged, result.failures) == ((), (), ())
    found = sliced(path)
    assert [(row.id, row.ratings[0].score, row.exploited) for row in found.advisories] == [
        ("DSA-1", 9.8, "2024-01-01"),
        ("PYSEC-1", 9.8, "2024-01-01"),
    ]
    assert [(row.ecosystem, row.complete, row.checked_at) for row in found.coverage] == [
        ("Debian:13", True, NOW_TEXT),
        ("PyPI", True, NOW_TEXT),
    ]


def test_unchanged_is_a_check_and_says_the_same(path: Path, site: Site) -> None:
    first = updated(path, site)
    before = sliced(path)
    site.seen.clear()
    result = updated(path, site, later=True)
    assert sorted(site.seen) == [f"{CVSS} 304", f"{KEV} 304", f"{DEBIAN} 304", f"{PYPI} 304"]
    assert result.unchanged == ("cvss", "kev", "osv Debian", "osv PyPI")
    after = sliced(path)
    assert after.advisories == before.advisories
    assert {row.checked_at for row in after.coverage} == {LATER_TEXT}
    assert result.digest != first.digest
    with Database.open(path) as database:
        assert {part.changed_at for part in database.parts()} == {NOW_TEXT}


def test_only_what_changed_is_read_again(path: Path, site: Site) -> None:
    updated(path, site)
    site.files[PYPI] = pypi("4")
    result = updated(path, site, later=True)
    assert result.unchanged == ("cvss", "kev", "osv Debian")
    rows = {row.id: row for row in sliced(path).advisories}
    assert rows["PYSEC-1"].ranges[0].events[-1] == ("fixed", "4")
    assert rows["DSA-1"].ratings[0].score == 9.8


def test_many_updates_carry_everything_over(path: Path, site: Site) -> None:
    updated(path, site)
    before = sliced(path)
    for version in ("4", "5", "3"):
        site.files[PYPI] = pypi(version)
        updated(path, site)
    assert sliced(path) == before


@pytest.mark.parametrize("file", [DEBIAN, PYPI, KEV, CVSS])
@pytest.mark.parametrize("fault", ["gone", "nonsense"])
def test_a_feed_that_fails_keeps_its_last_good_part(file: str, fault: str, path: Path, site: Site) -> None:
    updated(path, site)
    before = sliced(path)
    if fault == "gone":
        del site.files[file]
    else:
        site.files[file] = b"nonsense"
    result = updated(path, site, later=True)
    (failure,) = result.failures
    title = f"{failure.feed} {failure.name}".rstrip()
    assert title in ("osv Debian", "osv PyPI", "kev", "cvss")
    assert failure.kept
    assert "http://127.0.0.1" in failure.reason
    assert sliced(path).advisories == before.advisories
    times = checked(path)
    assert times.pop(title) == NOW_TEXT
    assert set(times.values()) == {LATER_TEXT}


def test_when_no_feed_answers_nothing_is_replaced(path: Path, site: Site) -> None:
    digest = updated(path, site).digest
    inode = path.stat().st_ino
    site.files.clear()
    result = updated(path, site, later=True)
    assert len(result.failures) == 4
    assert result.digest == ""
    assert path.stat().st_ino == inode
    with Database.open(path) as database:
        assert database.digest == digest
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, path.name + ".lock"]


def test_a_database_without_any_coverage_is_not_made(path: Path, site: Site) -> None:
    del site.files[DEBIAN], site.files[PYPI]
    result = updated(path, site)
    assert [failure.kept for failure in result.failures] == [False, False]
    assert not path.exists()


def test_a_feed_without_url_is_named_and_keeps_its_part(path: Path, site: Site, tmp_path: Path) -> None:
    urls = {"osv": f"{site.url}/osv", "kev": site.url + KEV}
    updated(path, site)
    result = update(path, FEEDS, urls, ("Debian", "PyPI"), LATER, lambda line: None)
    assert result.missing == ("no URL for the feed cvss: set DOCKGATE_FEED_CVSS",)
    assert sliced(path).advisories[0].ratings[0].score == 9.8
    assert checked(path)["cvss"] == NOW_TEXT


def test_a_part_from_elsewhere_is_fetched_in_any_case(path: Path, site: Site, tmp_path: Path) -> None:
    partial = folder_of(tmp_path / "feeds", {"PyPI": [record("PYSEC-9", entry("PyPI", "x", *fixed("1")))]})
    (partial / "coverage.json").write_text('{"ecosystems": {"PyPI": ["x"]}}')
    built(path, partial)
    updated(path, site, later=True)
    found = sliced(path)
    assert [row.id for row in found.advisories] == ["DSA-1", "PYSEC-1"]
    assert all(row.complete for row in found.coverage)


def test_ecosystems_that_are_not_asked_for_stay(path: Path, site: Site) -> None:
    updated(path, site)
    urls = {"osv": f"{site.url}/osv", "kev": site.url + KEV, "cvss": site.url + CVSS}
    update(path, FEEDS, urls, ("PyPI",), LATER, lambda line: None)
    assert [row.id for row in sliced(path).advisories] == ["DSA-1", "PYSEC-1"]
    assert checked(path)["osv Debian"] == NOW_TEXT


def test_a_feed_that_is_read_otherwise_now_is_read_again(path: Path, site: Site) -> None:
    class NewOsv(Osv):
        version = Osv.version + 1

    updated(path, site)
    site.seen.clear()
    others = tuple(feed for feed in FEEDS if feed.name != "osv")
    updated(path, site, feeds=(*others, NewOsv()))
    assert f"{PYPI} 200" in site.seen
    assert f"{KEV} 304" in site.seen


def test_a_broken_database_is_made_anew(path: Path, site: Site) -> None:
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    assert updated(path, site).failures == ()
    assert len(sliced(path).advisories) == 2


def test_a_record_that_cannot_be_read_stays_told_while_unchanged(path: Path, site: Site) -> None:
    site.files[PYPI] = export(record("PYSEC-1", entry("PyPI", "jinja2", *fixed("3"))), b"{")
    updated(path, site)
    result = updated(path, site, later=True)
    (part,) = (part for part in result.parts if part.name == "PyPI")
    assert [fault.name for fault in part.faults] == ["broken-1.json"]
    (coverage,) = (row for row in sliced(path).coverage if row.ecosystem == "PyPI")
    assert (coverage.complete, coverage.names) == (False, ())


def test_secrets_in_a_url_are_not_written_down(path: Path, site: Site) -> None:
    only_osv = tuple(feed for feed in FEEDS if feed.name == "osv")
    secret = site.url.replace("//", "//user:secret@") + "/osv"
    assert update(path, only_osv, {"osv": secret}, ("PyPI",), NOW, lambda line: None).failures == ()
    assert b"secret" not in path.read_bytes()


def test_the_database_tells_its_parts_as_the_update_did(path: Path, site: Site) -> None:
    result = updated(path, site)
    with Database.open(path) as database:
        assert tuple(database.parts()) == result.parts
    assert [part.statements for part in result.parts] == [1, 1, 1, 1]
