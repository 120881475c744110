"""What the Amazon feed tells matching of an update, what it refuses, and how a repository is walked."""

import contextlib
import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.vulnerabilities.feeds.feed_files import make_bulletin, make_repository, pack_updateinfo
from tests.vulnerabilities.feeds.feed_site import serve_files

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.vulnerabilities.feed import FaultyRecord, FeedFetch, FeedStatement
from dockgate.vulnerabilities.feeds.amazon import FEED
from dockgate.vulnerabilities.model import Advisory, Range, Rating, Severity

SAMPLE = Path(__file__).parent / "data" / "updateinfo.xml"


def read(data: bytes) -> list[FeedStatement]:
    return list(FEED.parse(BytesIO(data), "2023"))


def test_a_bulletin_becomes_an_advisory_for_each_binary_package() -> None:
    rsyslog, doc = read(SAMPLE.read_bytes())
    assert rsyslog == Advisory(
        id="ALAS2023-2023-001",
        ecosystem="Amazon Linux:2023",
        name="rsyslog",
        ranges=(Range("ECOSYSTEM", (("introduced", "0"), ("fixed", "0:8.2204.0-3.amzn2023.0.2"))),),
        upstream=("CVE-2014-3634", "CVE-2022-24903"),
        ratings=(Rating("distribution", Severity.HIGH),),
        summary="Amazon Linux 2023 - ALAS2023-2023-001: Important priority package update for rsyslog",
        published="2023-02-17T20:41:00Z",
        modified="2023-02-22T23:22:00Z",
    )
    assert isinstance(doc, Advisory)
    assert doc.name == "rsyslog-doc"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_gzip_and_zstd_are_decompressed(pack: Callable[[bytes], bytes]) -> None:
    assert read(pack(SAMPLE.read_bytes())) == read(SAMPLE.read_bytes())


def test_all_versions_of_several_architectures_are_kept() -> None:
    (advisory,) = read(pack_updateinfo(make_bulletin("ALAS-1", {"version": "1"}, {"version": "2", "arch": "aarch64"})))
    assert isinstance(advisory, Advisory)
    assert [span.events[-1][1] for span in advisory.ranges] == ["0:1-1.amzn2023", "0:2-1.amzn2023"]


def test_a_version_without_epoch_has_none() -> None:
    (advisory,) = read(pack_updateinfo(make_bulletin("ALAS-1", {"epoch": ""})))
    assert isinstance(advisory, Advisory)
    assert advisory.ranges[0].events[-1] == ("fixed", "1-1.amzn2023")


def test_times_of_another_form_are_left_out() -> None:
    (advisory,) = read(pack_updateinfo(make_bulletin("ALAS-1", {}, extra_elements='<issued date="yesterday"/>')))
    assert isinstance(advisory, Advisory)
    assert advisory.published is None


def test_a_bulletin_without_id_or_package_names_is_a_fault() -> None:
    for update in (make_bulletin("", {}), make_bulletin("ALAS-1", {"name": ""})):
        (fault,) = read(pack_updateinfo(update))
        assert isinstance(fault, FaultyRecord)
        assert not fault.is_contained


def test_a_package_without_a_version_is_undetermined() -> None:
    fault, advisory = read(pack_updateinfo(make_bulletin("ALAS-1", {"version": ""})))
    assert isinstance(fault, FaultyRecord)
    assert fault.is_contained
    assert isinstance(advisory, Advisory)
    assert advisory.ranges == (Range("ECOSYSTEM", ()),)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><updates>&b;</updates>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<updates>",
        b"<html/>",
        gzip.compress(b"<updates></updates>", mtime=0)[:-5],
        zstandard.compress(b"<updates></updates>" * 99)[:-5] + b"nonsense",
        BOMB,
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><updates/>',
        b"<updates>" + b"<a>" * 100_000,
        b"<updates><update><id>" + b"x" * 2_000_000,
        b"<updates " + b"x" * 17_000_000,
        b"<updates>&nbsp;</updates>",
    ],
)
def test_documents_of_another_form_and_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="update information of Amazon Linux:2023"):
        read(data)


@settings(max_examples=scale_examples(300), deadline=None, derandomize=True)
@given(st.integers(0, 2**16), st.binary(max_size=8), st.integers(0, 8))
def test_a_damaged_document_is_read_or_refused(position: int, put: bytes, cut: int) -> None:
    data = SAMPLE.read_bytes()
    at = position % len(data)
    with contextlib.suppress(UnreadableError):
        read(data[:at] + put + data[at + cut :])


# --- repositories ------------------------------------------------------------------------------------------------

DATA = pack_updateinfo(make_bulletin("ALAS-1", {}))
LIST = "/al2023/core/mirrors/latest/x86_64/mirror.list"


def test_the_feed_has_parts_only_for_amazon_linux() -> None:
    assert FEED.list_parts("https://feeds.example", ("Amazon Linux", "Debian")) == ("2", "2023")
    assert FEED.list_parts("https://feeds.example", ("Debian",)) == ()


def test_an_unchanged_index_fetches_nothing_else(tmp_path: Path) -> None:
    with serve_files({}) as site:
        site.files = make_repository(site.url, DATA)
        first_fetch = FEED.fetch(site.url, "2023", None, tmp_path)
        site.requests.clear()
        assert FEED.fetch(site.url, "2023", first_fetch.fingerprint, tmp_path) == FeedFetch(first_fetch.fingerprint)
        assert site.requests == [f"{LIST} 200", "/guids/1/x86_64/repodata/repomd.xml 200"]


def test_a_failed_mirror_is_skipped(tmp_path: Path) -> None:
    with serve_files({}) as site:
        site.files = make_repository(site.url, DATA)
        site.files[LIST] = f"{site.url}/gone\n".encode() + site.files[LIST]
        path = FEED.fetch(site.url, "2023", None, tmp_path).path
    assert path is not None
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("mirror.list", b"http://", b"ftp://"),
        ("mirror.list", b"http", b""),
        ("repomd.xml", b"<repomd", b"<!DOCTYPE x><repomd"),
        ("repomd.xml", b"updateinfo", b"other"),
        ("repomd.xml", b'"repodata/updateinfo', b'"../updateinfo'),
        ("repomd.xml", b'"repodata/updateinfo', b'"http://elsewhere.test/updateinfo'),
        ("repomd.xml", b'"sha256"', b'"md5"'),
        ("updateinfo.xml.gz", b"\x1f\x8b", b"\x1f\x8c"),
    ],
)
def test_an_inconsistent_repository_is_reported(file: str, old: bytes, new: bytes, tmp_path: Path) -> None:
    with serve_files({}) as site:
        site.files = {
            path: data.replace(old, new) if path.endswith(file) else data
            for path, data in make_repository(site.url, DATA).items()
        }
        with pytest.raises(UnavailableError) as error_info:
            FEED.fetch(site.url, "2023", None, tmp_path)
    assert error_info.value.advice
