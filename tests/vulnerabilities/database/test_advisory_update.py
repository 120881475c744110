"""Bringing the advisory database up to date over HTTP."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest
from tests.vulnerabilities.database.making import FEEDS, NOW, NOW_TEXT, built, folder_of, inventory, package
from tests.vulnerabilities.feeds.making import Json, cvss, entry, epss, export, fixed, kev, record
from tests.vulnerabilities.feeds.serving import Site, serving

from dockgate.shared.errors import DatabaseError, DownloadError, UnavailableError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.parts import Result
from dockgate.vulnerabilities.database.update import CONNECTION_FAILURE_LIMIT, update
from dockgate.vulnerabilities.feed import Feed, FeedFetch, RecordLookup
from dockgate.vulnerabilities.feeds.osv import Osv
from dockgate.vulnerabilities.model import AdvisorySnapshot, Cve, Rating, Severity

DEBIAN, PYPI, KEV, CVSS = "/osv/Debian/all.zip", "/osv/PyPI/all.zip", "/kev.json", "/cvss.csv.gz"
EPSS, LIST = "/epss.csv.gz", "/osv/PyPI/modified_id.csv"
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
LATER, LATER_TEXT = NOW + timedelta(hours=6), "2026-11-24T18:00:00Z"
QUERIED = inventory(package("Debian:13", "zlib"), package("PyPI", "jinja2"))


def pypi(version: str) -> bytes:
    return export(record("PYSEC-1", entry("PyPI", "jinja2", *fixed(version)), aliases=["CVE-1"]))


@pytest.fixture
def site() -> Iterator[Site]:
    files = {
        DEBIAN: export(record("DSA-1", entry("Debian:13", "zlib", *fixed("2")), upstream=["CVE-1"])),
        PYPI: pypi("3"),
        KEV: kev({"CVE-1": "2024-01-01"}),
        CVSS: cvss(("CVE-1", "3.1", VECTOR, "")),
        EPSS: epss(("CVE-1", "0.5", "0.9")),
    }
    with serving(files) as site:
        yield site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "advisories.db"


def urls_of(site: Site) -> dict[str, str]:
    return {
        "amazon": site.url,
        "cvss": site.url + CVSS,
        "epss": site.url + EPSS,
        "kev": site.url + KEV,
        "osv": f"{site.url}/osv",
    }


def updated(path: Path, site: Site, *, later: bool = False, feeds: tuple[Feed, ...] = FEEDS) -> Result:
    urls = urls_of(site)
    return update(path, feeds, urls, ("Debian", "PyPI"), LATER if later else NOW, lambda line: None)


def sliced(path: Path) -> AdvisorySnapshot:
    with Database.open(path) as database:
        return database.snapshot([QUERIED])


def checked(path: Path) -> dict[str, str]:
    with Database.open(path) as database:
        return {part.title: part.checked_at for part in database.parts()}


def test_the_first_update_reads_everything(path: Path, site: Site) -> None:
    result = updated(path, site)
    assert (result.missing, result.unchanged, result.failures) == ((), (), ())
    results = sliced(path)
    assert [row.id for row in results.advisories] == ["DSA-1", "PYSEC-1"]
    assert results.cves == (Cve("CVE-1", Rating("cve", Severity.CRITICAL, 9.8, VECTOR), "2024-01-01", "", 0.5, 0.9),)
    assert [(row.ecosystem, row.complete, row.checked_at) for row in results.coverage] == [
        ("Debian:13", True, NOW_TEXT),
        ("PyPI", True, NOW_TEXT),
        ("epss", True, NOW_TEXT),
        ("kev", True, NOW_TEXT),
    ]


def test_unchanged_is_a_check_and_says_the_same(path: Path, site: Site) -> None:
    first = updated(path, site)
    before = sliced(path)
    site.seen.clear()
    result = updated(path, site, later=True)
    request = [seen for seen in site.seen if not seen.endswith("404")]
    assert sorted(request) == [f"{CVSS} 304", f"{EPSS} 304", f"{KEV} 304", f"{DEBIAN} 304", f"{PYPI} 304"]
    assert result.unchanged == ("cvss", "epss", "kev", "osv Debian", "osv PyPI")
    after = sliced(path)
    assert (after.advisories, after.cves) == (before.advisories, before.cves)
    assert {row.checked_at for row in after.coverage} == {LATER_TEXT}
    assert result.digest != first.digest
    with Database.open(path) as database:
        assert {part.changed_at for part in database.parts()} == {NOW_TEXT}


def test_a_feed_that_lost_half_of_its_records_is_not_believed(path: Path, site: Site) -> None:
    def of(count: int) -> bytes:
        return export(*(record(f"PYSEC-{number}", entry("PyPI", "jinja2", *fixed("3"))) for number in range(count)))

    site.files[PYPI] = of(101)
    updated(path, site)
    site.files[PYPI] = of(49)
    result = updated(path, site, later=True)
    (failure,) = result.failures
    assert failure.reason == "osv PyPI has 49 statements, less than half of what it had."
    assert "dockgate db update" in failure.advice
    assert len(sliced(path).advisories) == 102
    assert checked(path)["osv PyPI"] == NOW_TEXT
    site.files[PYPI] = of(50)
    assert updated(path, site, later=True).failures == ()
    site.files[PYPI] = of(1)  # of so few, half are soon gone
    assert updated(path, site, later=True).failures == ()
    assert len(sliced(path).advisories) == 2


def test_only_what_changed_is_read_again(path: Path, site: Site) -> None:
    updated(path, site)
    site.files[PYPI] = pypi("4")
    result = updated(path, site, later=True)
    assert result.unchanged == ("cvss", "epss", "kev", "osv Debian")
    rows = {row.id: row for row in sliced(path).advisories}
    assert rows["PYSEC-1"].ranges[0].events[-1] == ("fixed", "4")
    assert rows["DSA-1"].upstream == ("CVE-1",)


def test_many_updates_carry_everything_over(path: Path, site: Site) -> None:
    updated(path, site)
    before = sliced(path)
    for version in ("4", "5", "3"):
        site.files[PYPI] = pypi(version)
        updated(path, site)
    assert sliced(path) == before


@pytest.mark.parametrize("file", [DEBIAN, PYPI, KEV, CVSS, EPSS])
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
    assert title in ("osv Debian", "osv PyPI", "kev", "cvss", "epss")
    assert failure.has_old_data
    assert "http://127.0.0.1" in failure.reason
    after = sliced(path)
    assert (after.advisories, after.cves) == (before.advisories, before.cves)
    times = checked(path)
    assert times.pop(title) == NOW_TEXT
    assert set(times.values()) == {LATER_TEXT}


def test_a_part_that_is_no_longer_published_is_a_failure(path: Path, site: Site) -> None:
    updated(path, site)
    del site.files[PYPI]
    site.files["/osv/ecosystems.txt"] = b"Debian\n"
    (failure,) = updated(path, site, later=True).failures
    assert (failure.feed, failure.name, failure.has_old_data) == ("osv", "PyPI", True)
    assert checked(path)["osv PyPI"] == NOW_TEXT


def test_a_part_that_is_only_left_out_of_the_list_is_still_fetched(path: Path, site: Site) -> None:
    updated(path, site)
    site.files["/osv/ecosystems.txt"] = b"Debian\n"
    assert updated(path, site, later=True).failures == ()
    assert checked(path)["osv PyPI"] == LATER_TEXT


def test_when_no_feed_answers_nothing_is_replaced(path: Path, site: Site) -> None:
    digest = updated(path, site).digest
    inode = path.stat().st_ino
    site.files.clear()
    result = updated(path, site, later=True)
    assert len(result.failures) == 5
    assert result.digest == ""
    assert path.stat().st_ino == inode
    with Database.open(path) as database:
        assert database.digest == digest
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, path.name + ".lock"]


class Unreachable(Osv):
    """A feed whose host takes no connection; `asked` counts the downloads that were tried."""

    requests = 0

    def parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        return ecosystems

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str,
        into: Path,
        ca_bundle: Path | None = None,
        content: RecordLookup | None = None,
    ) -> FeedFetch:
        Unreachable.requests += 1
        raise DownloadError("no connection", "", urlsplit(str(origin)).netloc, "refused", is_unreachable=True)


def test_a_host_that_takes_no_connection_is_not_asked_for_every_part(path: Path, site: Site) -> None:
    digest = updated(path, site).digest
    Unreachable.requests = 0
    many = tuple(f"E{number}" for number in range(20))
    feeds = (Unreachable(),)
    result = update(path, feeds, {"osv": "http://other.example/osv"}, many, LATER, lambda line: None)
    assert Unreachable.requests == CONNECTION_FAILURE_LIMIT
    assert {(failure.host, failure.cause) for failure in result.failures} == {("other.example", "refused")}
    assert len(result.failures) == 20
    with Database.open(path) as database:
        assert database.digest == digest


def test_a_database_without_any_coverage_is_not_made(path: Path, site: Site) -> None:
    del site.files[DEBIAN], site.files[PYPI]
    result = updated(path, site)
    assert [failure.has_old_data for failure in result.failures] == [False, False]
    assert not path.exists()


def test_a_feed_without_url_is_named_and_keeps_its_part(path: Path, site: Site, tmp_path: Path) -> None:
    updated(path, site)
    urls = {name: url for name, url in urls_of(site).items() if name != "cvss"}
    result = update(path, FEEDS, urls, ("Debian", "PyPI"), LATER, lambda line: None)
    assert result.missing == ("no URL for the feed cvss: set DOCKGATE_FEED_CVSS",)
    assert sliced(path).cves[0].rating == Rating("cve", Severity.CRITICAL, 9.8, VECTOR)
    assert checked(path)["cvss"] == NOW_TEXT


def test_a_part_from_elsewhere_is_fetched_in_any_case(path: Path, site: Site, tmp_path: Path) -> None:
    partial = folder_of(tmp_path / "feeds", {"PyPI": [record("PYSEC-9", entry("PyPI", "x", *fixed("1")))]})
    (partial / "coverage.json").write_text('{"ecosystems": {"PyPI": ["x"]}}')
    built(path, partial)
    updated(path, site, later=True)
    result = sliced(path)
    assert [row.id for row in result.advisories] == ["DSA-1", "PYSEC-1"]
    assert all(row.complete for row in result.coverage)


def test_ecosystems_that_are_not_asked_for_stay(path: Path, site: Site) -> None:
    updated(path, site)
    update(path, FEEDS, urls_of(site), ("PyPI",), LATER, lambda line: None)
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


def test_a_database_that_breaks_off_is_told_and_left(path: Path, site: Site) -> None:
    updated(path, site)
    with sqlite3.connect(path) as sql:
        sql.execute("DROP TABLE record")
        sql.execute("CREATE TABLE record (nonsense)")
    sql.close()
    before = path.read_bytes()
    with pytest.raises((DatabaseError, UnavailableError)) as caught:
        updated(path, site, later=True)
    assert caught.value.advice
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, path.name + ".lock"]


def test_damaged_pages_are_told_and_left(path: Path, site: Site) -> None:
    site.files[PYPI] = export(*(of(f"P-{number}", "jinja2") for number in range(2000)))
    updated(path, site)
    data = bytearray(path.read_bytes())
    middle = len(data) // 16384 * 8192
    data[middle : middle + 16384] = b"\xff" * 16384
    path.write_bytes(data)
    site.files[PYPI] = pypi("4")
    with pytest.raises(DatabaseError, match="is broken"):
        updated(path, site, later=True)
    assert path.read_bytes() == bytes(data)


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
    assert [part.statements for part in result.parts] == [1, 1, 1, 1, 1]


# --- record by record --------------------------------------------------------------------------------------------


def publish(site: Site, *records: Json) -> None:
    """PyPI's export, with the list of its records and each of them."""
    site.files = {path: data for path, data in site.files.items() if not path.startswith("/osv/PyPI/")}
    site.files[PYPI] = export(*records)
    site.files[LIST] = "".join(f"{each['modified']},{each['id']}\n" for each in records).encode()
    site.files |= {f"/osv/PyPI/{each['id']}.json": json.dumps(each).encode() for each in records}


def of(identity: str, name: str, time: str = "2026-01-01T00:00:00Z", ecosystem: str = "PyPI") -> Json:
    return record(identity, entry(ecosystem, name, *fixed("3"))) | {"modified": time}


def everything(path: Path) -> list[tuple[object, ...]]:
    """What PyPI's part of the database holds."""
    names = ("jinja2", "flask", "idna")
    with Database.open(path) as database:
        result = database.snapshot([inventory(*(package("PyPI", name) for name in names))])
        (part,) = (part for part in database.parts() if part.name == "PyPI")
        records = database.records("osv", "PyPI")
    return [*((row.id, row.name, row.modified) for row in result.advisories), result.coverage, part.statements, records]


LATE = "2026-02-01T00:00:00Z"
BEFORE = (of("P-1", "jinja2"), of("P-2", "flask"), of("P-3", "idna"), of("P-4", "x", ecosystem="npm"))
AFTER = (of("P-1", "jinja2"), of("P-2", "idna", LATE), of("P-5", "flask"), of("P-4", "x", ecosystem="npm"))


def test_records_that_changed_give_the_database_that_the_whole_export_gives(
    path: Path, site: Site, tmp_path: Path
) -> None:
    publish(site, *BEFORE)
    first = updated(path, site)
    publish(site, *AFTER)
    site.seen.clear()
    result = updated(path, site, later=True)
    assert f"{PYPI} 200" not in site.seen
    assert "osv PyPI" not in result.unchanged
    assert result.digest != first.digest
    updated(tmp_path / "anew.db", site, later=True)
    assert everything(path) == everything(tmp_path / "anew.db")
    site.seen.clear()
    assert "osv PyPI" in updated(path, site, later=True).unchanged
    assert f"{LIST} 304" in site.seen


def test_a_list_that_names_nothing_new_is_a_check(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    updated(path, site)
    publish(site, *reversed(BEFORE))
    result = updated(path, site, later=True)
    assert "osv PyPI" in result.unchanged
    assert checked(path)["osv PyPI"] == LATER_TEXT


def test_a_record_that_can_be_read_again_ends_the_doubt(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    site.files[PYPI] = export(*BEFORE, b"{")
    updated(path, site)
    assert not any(row.complete for row in sliced(path).coverage if row.ecosystem == "PyPI")
    with ZipFile(BytesIO(site.files[PYPI])) as archive:
        (broken,) = (name.removesuffix(".json") for name in archive.namelist() if name.startswith("broken"))
    publish(site, *BEFORE, of(broken, "flask"))
    updated(path, site, later=True)
    assert all(row.complete for row in sliced(path).coverage)
    with Database.open(path) as database:
        assert not any(part.faults for part in database.parts())


def test_a_record_that_cannot_be_read_any_more_ends_the_coverage(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    updated(path, site)
    publish(site, *BEFORE[:1], of("P-2", "flask", LATE), *BEFORE[2:])
    site.files["/osv/PyPI/P-2.json"] = b"{"
    updated(path, site, later=True)
    coverage = {row.ecosystem: row.complete for row in sliced(path).coverage}
    assert coverage == {"Debian:13": True, "PyPI": False, "epss": True, "kev": True}
    assert [row[0] for row in everything(path)[:2]] == ["P-3", "P-1"]


def test_another_record_than_the_one_asked_for_is_a_fault(path: Path, site: Site) -> None:
    publish(site, *BEFORE)
    updated(path, site)
    publish(site, *BEFORE[:1], of("P-2", "flask", LATE), *BEFORE[2:])
    site.files["/osv/PyPI/P-2.json"] = json.dumps(of("P-1", "flask")).encode()
    result = updated(path, site, later=True)
    (part,) = (part for part in result.parts if part.name == "PyPI")
    assert [fault.name for fault in part.faults] == ["P-1"]
