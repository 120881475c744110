"""What every feed promises, from a folder and over HTTP."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.vulnerabilities.feeds.feed_files import (
    export,
    make_bulletin,
    make_cvss,
    make_entry,
    make_epss,
    make_fixed_range,
    make_kev,
    make_repository,
    pack_updateinfo,
    record,
    write_files,
)
from tests.vulnerabilities.feeds.feed_site import Site, serve_files

from dockgate.shared.errors import NotFoundError, UnavailableError, UnreadableError
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.coverage import is_covered_by
from dockgate.vulnerabilities.feed import ONLY_PART, FaultyRecord, Feed, FeedFetch
from dockgate.vulnerabilities.model import Advisory

VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
SAMPLES = {
    "amazon": (pack_updateinfo(make_bulletin("ALAS2023-1", {})), pack_updateinfo(make_bulletin("ALAS2023-2", {}))),
    "osv": (
        export(record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")))),
        export(record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("2")))),
    ),
    "epss": (make_epss(("CVE-1", "0.5", "0.9")), make_epss(("CVE-2", "0.5", "0.9"))),
    "kev": (make_kev({"CVE-1": "2024-01-01"}), make_kev({"CVE-2": "2024-01-01"})),
    "cvss": (make_cvss(("CVE-1", "3.1", VECTOR, "")), make_cvss(("CVE-2", "3.1", VECTOR, ""))),
}
"""two versions of each feed's file; a new feed adds its own"""
PARTS = {"amazon": "2023", "osv": "PyPI"}
"""of the feeds that have parts, the one that is tried"""


class FeedOrigin:
    """Somewhere a feed can be fetched from, whose file can be replaced."""

    def __init__(self, feed: Feed, into: Path) -> None:
        self.feed = feed
        self.part = PARTS.get(feed.name, ONLY_PART)
        self.into = into

    def fetch(self, fingerprint: str | None = None) -> FeedFetch:
        return self.feed.fetch(self.get_origin(), self.part, fingerprint, self.into)

    def get_origin(self) -> Path | str:
        raise NotImplementedError

    def put(self, data: bytes) -> None:
        raise NotImplementedError


class Folder(FeedOrigin):
    def get_origin(self) -> Path:
        return self.into / "feeds"

    def put(self, data: bytes) -> None:
        write_files(self.get_origin(), {self.feed.file.replace("*", self.part): data})


class Http(FeedOrigin):
    def __init__(self, feed: Feed, into: Path, site: Site) -> None:
        super().__init__(feed, into)
        self.site = site

    def get_origin(self) -> str:
        return self.site.url if self.part else f"{self.site.url}/file"

    def put(self, data: bytes) -> None:
        if self.feed.name == "amazon":
            self.site.files |= make_repository(self.site.url, data)
        else:
            self.site.files[f"/{self.part}/all.zip" if self.part else "/file"] = data


@pytest.fixture(params=feeds.load(), ids=lambda feed: feed.name)
def feed(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["folder", "ETag", "Last-Modified", "no validator"])
def feed_origin(request: pytest.FixtureRequest, feed: Feed, tmp_path: Path) -> Iterator[FeedOrigin]:
    if request.param == "folder":
        yield Folder(feed, tmp_path)
        return
    with serve_files({}) as site:
        site.validator = "" if request.param == "no validator" else request.param
        yield Http(feed, tmp_path, site)


def test_a_feed_sends_the_file_and_then_reports_unchanged(feed_origin: FeedOrigin) -> None:
    first, _ = SAMPLES[feed_origin.feed.name]
    feed_origin.put(first)
    result = feed_origin.fetch()
    assert result.path is not None
    assert result.path.read_bytes() == first
    assert result.fingerprint
    for _ in range(2):
        assert feed_origin.fetch(result.fingerprint) == FeedFetch(result.fingerprint)


def test_another_file_is_brought_again(feed_origin: FeedOrigin) -> None:
    if isinstance(feed_origin, Http) and feed_origin.site.validator == "Last-Modified":
        feed_origin.site.validator = ""
    first, second = SAMPLES[feed_origin.feed.name]
    feed_origin.put(first)
    fingerprint = feed_origin.fetch().fingerprint
    feed_origin.put(second)
    result = feed_origin.fetch(fingerprint)
    assert result.path is not None
    assert result.path.read_bytes() == second


def test_a_missing_feed_file_is_named_in_the_error(feed_origin: FeedOrigin) -> None:
    with pytest.raises((NotFoundError, UnavailableError)) as error_info:
        feed_origin.fetch()
    name = (
        feed_origin.feed.file.replace("*", feed_origin.part)
        if isinstance(feed_origin, Folder)
        else f"{feed_origin.feed.name} cannot"
    )
    assert name in str(error_info.value)
    assert str(feed_origin.get_origin()) in str(error_info.value)


def test_the_parts_of_a_feed_and_their_coverage_match_its_source(feed: Feed) -> None:
    part = PARTS.get(feed.name, ONLY_PART)
    assert ("*" in feed.file) == bool(part) == bool(feed.get_ecosystem(part))
    with serve_files({}) as site:
        parts = feed.list_parts(site.url, ((feed.get_ecosystem(part) or "").partition(":")[0],))
        assert part in parts
        assert list(feed.list_parts(site.url, ())) == ([ONLY_PART] if part == ONLY_PART else [])
    spoken = {row.ecosystem for row in feed.parse(BytesIO(SAMPLES[feed.name][0]), part) if isinstance(row, Advisory)}
    assert all(is_covered_by(name, feed.get_ecosystem(part)) for name in spoken)
    assert bool(spoken) == bool(part)


def test_a_feed_file_is_parsed_the_same_each_time(feed: Feed, tmp_path: Path) -> None:
    feed_origin = Folder(feed, tmp_path)
    feed_origin.put(SAMPLES[feed.name][0])
    path = feed_origin.fetch().path
    assert path is not None
    with path.open("rb") as stream:
        statements = list(feed.parse(stream, feed_origin.part))
        stream.seek(0)
        assert list(feed.parse(stream, feed_origin.part)) == statements
    assert len(statements) == 1
    assert not isinstance(statements[0], FaultyRecord)


def test_a_file_of_nonsense_is_unreadable(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_bytes(b"nonsense\n")
    with (tmp_path / "nonsense").open("rb") as stream, pytest.raises(UnreadableError):
        list(feed.parse(stream, PARTS.get(feed.name, ONLY_PART)))


def test_a_feed_download_is_retried_a_few_times(feed: Feed, tmp_path: Path) -> None:
    with serve_files({}) as site:
        feed_origin = Http(feed, tmp_path, site)
        feed_origin.put(SAMPLES[feed.name][0])
        path = next(iter(site.files))
        site.failing[path] = [503]
        assert feed_origin.fetch().path is not None
        assert site.requests[:2] == [f"{path} 503", f"{path} 200"]


def test_a_closed_port_is_unavailable_and_named(feed: Feed, tmp_path: Path) -> None:
    with serve_files({}) as site:
        feed_origin = Http(feed, tmp_path, site)
    with pytest.raises(UnavailableError, match=f"the feed {feed.name} cannot be fetched from http://127"):
        feed_origin.fetch()
