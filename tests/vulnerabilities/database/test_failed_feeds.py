"""What an update of the advisory database keeps and reports when a feed fails, shrinks or cannot be reached."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.vulnerabilities.database.samples import FEEDS, NOW_TEXT
from tests.vulnerabilities.database.updates import (
    CVSS,
    DEBIAN,
    EPSS,
    KEV,
    LATER,
    LATER_TEXT,
    LIST,
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
    Json,
    export,
    make_bulletin,
    make_entry,
    make_epss,
    make_fixed_range,
    make_kev,
    make_repository,
    pack_updateinfo,
    record,
)
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.shared.errors import DownloadError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.update import CONNECTION_FAILURE_LIMIT, update
from dockgate.vulnerabilities.feed import FeedFetch, RecordLookup
from dockgate.vulnerabilities.feeds.osv import Osv
from dockgate.vulnerabilities.model import Rating, Severity


def test_a_feed_that_lost_a_fifth_of_its_records_is_refused(path: Path, site: Site) -> None:
    def make_export(count: int) -> bytes:
        return export(
            *(
                record(f"PYSEC-{number}", make_entry("PyPI", "jinja2", *make_fixed_range("3")))
                for number in range(count)
            )
        )

    site.files[PYPI] = make_export(100)
    run_update(path, site)
    site.files[PYPI] = make_export(79)
    (failure,) = run_update(path, site, later=True).failures
    assert failure.reason == "osv PyPI has 79 statements, and had 100: too many are missing"
    assert "dockgate db update --allow-smaller" in str(failure.advice)
    assert len(read_snapshot(path).advisories) == 101
    assert read_check_times(path)["osv PyPI"] == NOW_TEXT
    site.files[PYPI] = make_export(80)
    assert run_update(path, site, later=True).failures == ()
    site.files[PYPI] = make_export(1)  # fewer than a hundred may all go
    assert run_update(path, site, later=True).failures == ()
    assert len(read_snapshot(path).advisories) == 2


def test_a_smaller_feed_may_be_allowed(path: Path, site: Site) -> None:
    site.files[PYPI] = export(*(make_pypi_record(f"P-{number}", "jinja2") for number in range(100)))
    run_update(path, site)
    site.files[PYPI] = export(make_pypi_record("P-1", "jinja2"))
    assert run_update(path, site, later=True, can_shrink=True).failures == ()
    assert [row.id for row in read_snapshot(path).advisories] == ["DSA-1", "P-1"]


def test_a_list_of_changes_that_lost_a_fifth_of_its_records_is_refused(path: Path, site: Site) -> None:
    def publish(records: list[Json]) -> None:
        site.files[PYPI] = export(*records)
        site.files[LIST] = "".join(f"{record['modified']},{record['id']}\n" for record in records).encode()
        site.files |= {f"/osv/PyPI/{record['id']}.json": json.dumps(record).encode() for record in records}

    records = [make_pypi_record(f"P-{number}", "jinja2") for number in range(200)]
    publish(records)
    run_update(path, site)
    publish([make_pypi_record("P-0", "jinja2", "2026-02-01T00:00:00Z"), *records[1:150]])
    (failure,) = run_update(path, site, later=True).failures
    assert failure.reason == "osv PyPI has 150 statements, and had 200: too many are missing"
    assert len(read_snapshot(path).advisories) == 201


@pytest.mark.parametrize("half", [b'{"id": "PYSEC-2", "affected": [{"package', b"\0\0"])
def test_a_new_unreadable_record_keeps_the_part_for_a_day(half: bytes, path: Path, site: Site) -> None:
    run_update(path, site)
    before = read_snapshot(path)
    site.files[PYPI] = export(record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("9"))), half)
    (failure,) = run_update(path, site, later=True).failures
    assert failure.reason.startswith("osv PyPI has records that cannot be read: broken-1.json (")
    assert "a day" in str(failure.advice)
    assert read_snapshot(path).advisories == before.advisories
    assert read_check_times(path)["osv PyPI"] == NOW_TEXT
    assert run_update(path, site, days=1).failures == ()
    (coverage,) = (row for row in read_snapshot(path).coverage if row.ecosystem == "PyPI")
    assert (coverage.is_complete, coverage.names) == (False, ())
    site.files[PYPI] = export(record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("8"))), half)
    assert run_update(path, site, days=1.5).failures == ()  # it is not new


@pytest.mark.parametrize("file", [DEBIAN, PYPI, KEV, CVSS, EPSS])
@pytest.mark.parametrize("fault", ["gone", "nonsense"])
def test_a_feed_that_fails_keeps_its_last_good_part(file: str, fault: str, path: Path, site: Site) -> None:
    run_update(path, site)
    before = read_snapshot(path)
    if fault == "gone":
        del site.files[file]
    else:
        site.files[file] = b"nonsense"
    result = run_update(path, site, later=True)
    (failure,) = result.failures
    title = f"{failure.feed} {failure.name}".rstrip()
    assert title in ("osv Debian", "osv PyPI", "kev", "cvss", "epss")
    assert failure.has_old_data
    assert "http://127.0.0.1" in failure.reason
    after = read_snapshot(path)
    assert (after.advisories, after.cves) == (before.advisories, before.cves)
    times = read_check_times(path)
    assert times.pop(title) == NOW_TEXT
    assert set(times.values()) == {LATER_TEXT}


def test_two_records_of_one_id_fail_their_part_alone(path: Path, site: Site) -> None:
    run_update(path, site)
    entries = [make_entry(f"Debian:{release}", "zlib", *make_fixed_range("3")) for release in (12, 13)]
    other_entry = make_entry("Debian:13", "zlib", *make_fixed_range("4"))
    site.files[DEBIAN] = export(record("DSA-2", *entries), record("DSA-2", other_entry))
    site.files[PYPI], site.files[KEV] = make_pypi_export("4"), make_kev({"CVE-1": "2025-05-05"})
    (failure,) = run_update(path, site, later=True).failures
    assert (failure.name, failure.has_old_data) == ("Debian", True)
    assert failure.reason.startswith(
        "the OSV export of Debian has two different records DSA-2, in DSA-2.json; its source:"
    )
    results = read_snapshot(path)
    assert [(row.id, row.ranges[0].events[-1][1]) for row in results.advisories] == [("DSA-1", "2"), ("PYSEC-1", "4")]
    assert results.cves[0].exploited == "2025-05-05"


def test_a_part_that_was_refused_leaves_nothing_behind(path: Path, site: Site) -> None:
    run_update(path, site)
    entries = [make_entry(f"Debian:{release}", "zlib", *make_fixed_range("3")) for release in (11, 12, 13)]
    site.files[DEBIAN] = export(record("DSA-2", *entries), b"{")
    assert len(run_update(path, site, later=True).failures) == 1
    with closing(sqlite3.connect(path)) as sql:
        assert sql.execute("SELECT count(*) FROM affected").fetchone() == (2,)
    site.files[DEBIAN] = export(record("DSA-3", make_entry("Debian:12", "zlib", *make_fixed_range("3"))))
    assert run_update(path, site, later=True).failures == ()


@pytest.mark.parametrize(
    ("file", "feed", "row", "other_row"),
    [
        (KEV, "kev", ("CVE-1", "2024-05-06", ""), ("CVE-1", "2024-05-06", "2024-06-01")),
        (EPSS, "epss", ("CVE-1", "0.5", "0.9"), ("CVE-1", "0.4", "0.9")),
    ],
)
def test_a_cve_twice_counts_once_and_fails_its_feed_if_the_values_differ(
    path: Path, site: Site, file: str, feed: str, row: Sequence[str], other_row: Sequence[str]
) -> None:
    def write_rows(*rows: Sequence[str]) -> bytes:
        entries = [{"cveID": cve, "dateAdded": date, "dueDate": due} for cve, date, due in rows]
        return make_epss(*rows) if feed == "epss" else json.dumps({"vulnerabilities": entries}).encode()

    site.files[file] = write_rows(row, row)
    result = run_update(path, site)
    assert (result.failures, [part.statements for part in result.parts if part.feed == feed]) == ((), [1])
    site.files[file] = write_rows(row, other_row)
    (failure,) = run_update(path, site, later=True).failures
    assert failure.reason.startswith(f"{feed} has CVE-1 twice, with different values; its source: {site.url}")
    assert failure.has_old_data


def test_a_bulletin_that_comes_twice_fails_its_part_alone(path: Path, site: Site) -> None:
    run_update(path, site)
    bulletin = make_bulletin("ALAS-1", {"name": "curl"})
    site.files |= make_repository(site.url, pack_updateinfo(bulletin, bulletin))
    urls, ecosystems = make_urls(site), ("Debian", "PyPI", "Amazon Linux")
    reasons = [failure.reason for failure in update(path, FEEDS, urls, ecosystems, LATER, lambda line: None).failures]
    assert f"amazon 2023 has the record ALAS-1 twice; its source: {site.url}" in reasons


def test_a_part_that_is_no_longer_published_is_a_failure(path: Path, site: Site) -> None:
    run_update(path, site)
    del site.files[PYPI]
    site.files["/osv/ecosystems.txt"] = b"Debian\n"
    (failure,) = run_update(path, site, later=True).failures
    assert (failure.feed, failure.name, failure.has_old_data) == ("osv", "PyPI", True)
    assert read_check_times(path)["osv PyPI"] == NOW_TEXT


def test_a_part_missing_from_the_list_is_still_fetched(path: Path, site: Site) -> None:
    run_update(path, site)
    site.files["/osv/ecosystems.txt"] = b"Debian\n"
    assert run_update(path, site, later=True).failures == ()
    assert read_check_times(path)["osv PyPI"] == LATER_TEXT


def test_the_database_is_kept_when_no_feed_answers(path: Path, site: Site) -> None:
    digest = run_update(path, site).digest
    inode = path.stat().st_ino
    site.files.clear()
    result = run_update(path, site, later=True)
    assert len(result.failures) == 5
    assert result.digest is None
    assert path.stat().st_ino == inode
    with Database.open(path) as database:
        assert database.digest == digest
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + ".lock"]


class Unreachable(Osv):
    """A feed whose host takes no connection; `requests` counts the downloads that were tried."""

    requests = 0
    is_stalled = False

    def list_parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        return ecosystems

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str | None,
        into: Path,
        ca_bundle: Path | None = None,
        content: RecordLookup | None = None,
    ) -> FeedFetch:
        Unreachable.requests += 1
        is_stalled = Unreachable.is_stalled
        host = urlsplit(str(origin)).netloc
        raise DownloadError(
            self.name, str(origin), host, "refused", is_unreachable=not is_stalled, is_stalled=is_stalled
        )


@pytest.mark.parametrize("is_stalled", [False, True], ids=["no connection", "no more bytes"])
def test_an_unreachable_or_stalled_host_is_not_tried_for_every_part(path: Path, site: Site, is_stalled: bool) -> None:
    digest = run_update(path, site).digest
    Unreachable.requests, Unreachable.is_stalled = 0, is_stalled
    ecosystems = tuple(f"E{number}" for number in range(20))
    feeds = (Unreachable(),)
    result = update(path, feeds, {"osv": "http://other.example/osv"}, ecosystems, LATER, lambda line: None)
    assert Unreachable.requests == CONNECTION_FAILURE_LIMIT
    assert {(failure.host, failure.cause) for failure in result.failures} == {("other.example", "refused")}
    assert len(result.failures) == 20
    with Database.open(path) as database:
        assert database.digest == digest


def test_feeds_of_one_unreachable_host_are_each_named_in_their_failure(path: Path) -> None:
    class OtherUnreachable(Unreachable):
        name = "kev"

    Unreachable.is_stalled = False
    feeds, host = (Unreachable(), OtherUnreachable()), "http://mirror.example"
    ecosystems = tuple(f"E{number}" for number in range(CONNECTION_FAILURE_LIMIT))
    result = update(path, feeds, {"osv": f"{host}/osv", "kev": f"{host}/kev"}, ecosystems, LATER, lambda line: None)
    last = result.failures[-1]
    assert (last.feed, last.reason) == ("kev", f"the feed kev cannot be fetched from {host}/kev: refused")
    assert "DOCKGATE_FEED_KEV" in str(last.advice)


def test_a_database_without_coverage_is_not_written(path: Path, site: Site) -> None:
    del site.files[DEBIAN], site.files[PYPI]
    result = run_update(path, site)
    assert [failure.has_old_data for failure in result.failures] == [False, False]
    assert not path.exists()


def test_a_feed_without_a_url_is_reported_and_keeps_its_part(path: Path, site: Site, tmp_path: Path) -> None:
    run_update(path, site)
    urls = {name: url for name, url in make_urls(site).items() if name != "cvss"}
    result = update(path, FEEDS, urls, ("Debian", "PyPI"), LATER, lambda line: None)
    assert result.missing_feeds == ("optional feed cvss: skipped, DOCKGATE_FEED_CVSS is not set",)
    assert read_snapshot(path).cves[0].rating == Rating("cve", Severity.CRITICAL, 9.8, VECTOR)
    assert read_check_times(path)["cvss"] == NOW_TEXT


def test_a_faulty_record_is_reported_while_unchanged(path: Path, site: Site) -> None:
    site.files[PYPI] = export(record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("3"))), b"{")
    run_update(path, site)
    result = run_update(path, site, later=True)
    (part,) = (part for part in result.parts if part.name == "PyPI")
    assert [fault.name for fault in part.faults] == ["broken-1.json"]
    (coverage,) = (row for row in read_snapshot(path).coverage if row.ecosystem == "PyPI")
    assert (coverage.is_complete, coverage.names) == (False, ())
