"""The OSV feed over HTTP, record by record: when it takes the records that changed, and when the whole export."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote
from zipfile import ZipFile

import pytest
from tests.vulnerabilities.feeds.feed_files import Json, export, make_entry, make_fixed_range, record
from tests.vulnerabilities.feeds.feed_site import Site, serve_files

from dockgate.vulnerabilities.feed import FeedFetch
from dockgate.vulnerabilities.feeds._changes import CHANGES_LIMIT
from dockgate.vulnerabilities.feeds.osv import FEED

# The newer one is published with an older time: that happens, and must not hide it.
OLD, NEW = "2026-01-01T10:00:00Z", "2026-01-01T09:00:00.120000Z"


def make_osv_record(identity: str, modified: str = OLD) -> Json:
    return record(identity, make_entry("PyPI", "a", *make_fixed_range("1"))) | {"modified": modified}


def publish(site: Site, *records: Json) -> None:
    site.files.clear()
    site.files["/PyPI/all.zip"] = export(*records)
    site.files["/PyPI/modified_id.csv"] = "".join(
        f"{record['modified']},{record['id']}\n" for record in records
    ).encode()
    site.files |= {f"/PyPI/{record['id']}.json": json.dumps(record).encode() for record in records}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve_files({}) as site:
        publish(site, make_osv_record("A"), make_osv_record("B"), make_osv_record("C"))
        yield site


def fetch(site: Site, into: Path, fingerprint: str, content: Mapping[str, str] | None = None) -> FeedFetch:
    existing = {"A": OLD, "B": OLD, "C": OLD} if content is None else content
    site.requests.clear()
    return FEED.fetch(site.url, "PyPI", fingerprint, into, lookup=lambda: existing)


def fetch_first_fingerprint(site: Site, into: Path) -> str:
    return FEED.fetch(site.url, "PyPI", None, into).fingerprint


def test_the_first_fetch_is_the_whole_export(site: Site, tmp_path: Path) -> None:
    result = fetch(site, tmp_path, "")
    assert site.requests == ["/PyPI/all.zip 200"]
    assert result.replaces is None


def test_only_changed_records_are_fetched_and_removed_ones_are_listed(site: Site, tmp_path: Path) -> None:
    fingerprint = fetch_first_fingerprint(site, tmp_path)
    publish(site, make_osv_record("A"), make_osv_record("B", NEW), make_osv_record("D"))
    result = fetch(site, tmp_path, fingerprint)
    assert sorted(site.requests) == ["/PyPI/B.json 200", "/PyPI/D.json 200", "/PyPI/modified_id.csv 200"]
    assert result.replaces == frozenset({"B", "C", "D"})
    assert result.path is not None
    with ZipFile(result.path) as archive:
        assert {name: json.loads(archive.read(name)) for name in archive.namelist()} == {
            "B.json": make_osv_record("B", NEW),
            "D.json": make_osv_record("D"),
        }


def test_an_unchanged_list_fetches_nothing_else(site: Site, tmp_path: Path) -> None:
    result = fetch(site, tmp_path, fetch_first_fingerprint(site, tmp_path))
    assert result.path is None
    assert site.requests == ["/PyPI/modified_id.csv 200"]
    assert fetch(site, tmp_path, result.fingerprint) == result
    assert site.requests == ["/PyPI/modified_id.csv 304"]


def test_a_record_that_is_not_stored_is_fetched_whatever_its_age(site: Site, tmp_path: Path) -> None:
    result = fetch(site, tmp_path, fetch_first_fingerprint(site, tmp_path), {"A": OLD, "C": OLD})
    assert result.replaces == frozenset({"B"})


def test_times_are_compared_as_instants(site: Site, tmp_path: Path) -> None:
    publish(site, make_osv_record("A", "2026-01-01T10:00:00.120Z"), make_osv_record("B", "2026-01-01T10:00:00+00:00"))
    assert (
        fetch(site, tmp_path, fetch_first_fingerprint(site, tmp_path), {"A": "2026-01-01T10:00:00.12Z", "B": OLD}).path
        is None
    )


def test_many_changes_fetch_the_whole_export(site: Site, tmp_path: Path) -> None:
    fingerprint = fetch_first_fingerprint(site, tmp_path)
    publish(site, *(make_osv_record(f"X-{number}") for number in range(CHANGES_LIMIT + 1)))
    result = fetch(site, tmp_path, fingerprint)
    assert site.requests == ["/PyPI/modified_id.csv 200", "/PyPI/all.zip 200"]
    assert result.replaces is None


def test_many_removals_fetch_the_whole_export(site: Site, tmp_path: Path) -> None:
    """It may be cut short; what it lacks would be taken for gone."""
    fingerprint = fetch_first_fingerprint(site, tmp_path)
    publish(site, make_osv_record("A", NEW))
    result = fetch(site, tmp_path, fingerprint, {"A": OLD} | {f"X-{number}": OLD for number in range(CHANGES_LIMIT)})
    assert site.requests == ["/PyPI/modified_id.csv 200", "/PyPI/all.zip 200"]
    assert result.replaces is None


def test_removals_alone_fetch_the_whole_export(site: Site, tmp_path: Path) -> None:
    fingerprint = fetch_first_fingerprint(site, tmp_path)
    publish(site, make_osv_record("A"), make_osv_record("B"))
    result = fetch(site, tmp_path, fingerprint)
    assert site.requests == ["/PyPI/modified_id.csv 200", "/PyPI/all.zip 200"]
    assert result.replaces is None


@pytest.mark.parametrize("fault", ["no list", "an empty list", "a broken list", "a path for a name", "no record"])
def test_an_unreadable_list_or_record_fetches_the_whole_export(fault: str, site: Site, tmp_path: Path) -> None:
    fingerprint = fetch_first_fingerprint(site, tmp_path)
    publish(site, make_osv_record("A"), make_osv_record("B", NEW))
    csv = "/PyPI/modified_id.csv"
    if fault == "no list":
        del site.files[csv]
    elif fault == "no record":
        del site.files["/PyPI/B.json"]
    else:
        site.files[csv] = {"an empty list": b"", "a broken list": b"nonsense\n", "a path for a name": b"1,../x\n"}[
            fault
        ]
    result = fetch(site, tmp_path, fingerprint)
    assert site.requests[-1] == "/PyPI/all.zip 200"
    assert result.replaces is None


def test_record_ids_are_quoted_in_urls(site: Site, tmp_path: Path) -> None:
    fingerprint = fetch_first_fingerprint(site, tmp_path)
    publish(site, make_osv_record("A"), make_osv_record("B"), make_osv_record("C"), make_osv_record("RHSA-2026:1 x"))
    assert fetch(site, tmp_path, fingerprint).replaces == frozenset({"RHSA-2026:1 x"})
    assert "/PyPI/RHSA-2026:1 x.json 200" in map(unquote, site.requests)


def test_only_published_ecosystems_are_fetched(site: Site) -> None:
    site.files["/ecosystems.txt"] = b"Debian\nPyPI\nnpm\n"
    assert FEED.list_parts(site.url, ("Amazon Linux", "Debian", "PyPI")) == ["Debian", "PyPI"]


def test_all_ecosystems_are_fetched_from_a_mirror_without_a_list(site: Site) -> None:
    assert FEED.list_parts(site.url, ("Debian", "PyPI")) == ("Debian", "PyPI")


@pytest.mark.parametrize("page", [b"", b"<html>Please log in</html>"])
def test_all_ecosystems_are_fetched_if_the_list_is_another_page(site: Site, page: bytes) -> None:
    site.files["/ecosystems.txt"] = page
    assert FEED.list_parts(site.url, ("Debian", "PyPI")) == ("Debian", "PyPI")
