"""The feeds about CVEs: CVSS vectors, EPSS and CISA's catalogue. And how feeds are found."""

import sys
from io import BytesIO
from pathlib import Path

import pytest
from tests.vulnerabilities.feeds.feed_files import make_cvss, make_epss, make_kev

from dockgate.shared.errors import DockgateError, UnreadableError
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.feed import ONLY_PART, CvePrediction, CveScore, ExploitedCve, FaultyRecord
from dockgate.vulnerabilities.feeds.cvss import FEED as CVSS
from dockgate.vulnerabilities.feeds.epss import FEED as EPSS
from dockgate.vulnerabilities.feeds.kev import FEED as KEV
from dockgate.vulnerabilities.model import Rating, Severity

HIGH = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"
CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
NONE = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"


def test_a_cve_is_rated_by_its_worst_vector_of_the_newest_version() -> None:
    data = make_cvss(
        ("CVE-1", "3.1", HIGH, "CNA"), ("CVE-2", "3.1", NONE, "CNA"), ("CVE-1", "3.1", CRITICAL, "CISA-ADP")
    )
    assert list(CVSS.parse(BytesIO(data), ONLY_PART)) == [
        CveScore("CVE-1", Rating("cve", Severity.CRITICAL, 9.8, CRITICAL)),
        CveScore("CVE-2", Rating("cve", Severity.INFORMATIONAL, 0.0, NONE)),
    ]


def test_an_uncompressed_cvss_file_is_read() -> None:
    data = f"cve,version,vector,source\r\nCVE-1,3.1,{HIGH},\r\n".encode()
    assert list(CVSS.parse(BytesIO(data), ONLY_PART)) == [CveScore("CVE-1", Rating("cve", Severity.HIGH, 7.5, HIGH))]


def test_an_unreadable_row_is_a_fault_and_the_others_are_read() -> None:
    data = make_cvss(("GHSA-1", "3.1", HIGH, ""), ("CVE-2", "9", "nonsense", ""), ("CVE-3", "3.1", HIGH, ""))
    row, vector, score = sorted(CVSS.parse(BytesIO(data), ONLY_PART), key=lambda result: isinstance(result, CveScore))
    assert isinstance(row, FaultyRecord)
    assert isinstance(vector, FaultyRecord)
    assert (row.name, vector.name) == ("line 2", "CVE-2")
    assert isinstance(score, CveScore)


@pytest.mark.parametrize(
    "data",
    [b"", b"id,score\n", make_cvss()[:-9], b"\x1f\x8bnonsense", b"cve,version,vector\n" + b"x" * 5000, b"\xff\n"],
)
def test_a_cvss_file_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="CVSS file"):
        list(CVSS.parse(BytesIO(data), ONLY_PART))


def test_the_catalogue_has_dates() -> None:
    assert list(KEV.parse(BytesIO(make_kev({"CVE-1": "2024-05-06", "CVE-2": ""}, due="2024-06-01")), ONLY_PART)) == [
        ExploitedCve("CVE-1", "2024-05-06", "2024-06-01"),
        ExploitedCve("CVE-2", "unknown", "2024-06-01"),
    ]
    undated_catalogue = b'{"vulnerabilities": [{"cveID": "CVE-1", "dateAdded": 1, "dueDate": null}]}'
    assert list(KEV.parse(BytesIO(undated_catalogue), ONLY_PART)) == [ExploitedCve("CVE-1", "unknown", None)]


def test_an_entry_without_a_cve_is_a_fault() -> None:
    result = list(KEV.parse(BytesIO(b'{"vulnerabilities": [1, {"cveID": 3}, {"cveID": "CVE-1"}]}'), ONLY_PART))
    assert [type(entry) for entry in result] == [FaultyRecord, FaultyRecord, ExploitedCve]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"vulnerabilities": {}}', b"[" * 100_000])
def test_a_catalogue_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="KEV catalogue"):
        list(KEV.parse(BytesIO(data), ONLY_PART))


def test_epss_is_read_with_and_without_its_comment() -> None:
    result = [CvePrediction("CVE-1999-0001", 0.03351, 0.8765)]
    assert list(EPSS.parse(BytesIO(make_epss(("CVE-1999-0001", "0.03351", "0.8765"))), ONLY_PART)) == result
    assert list(EPSS.parse(BytesIO(b"cve,epss,percentile\r\nCVE-1999-0001,0.03351,0.8765\r\n"), ONLY_PART)) == result


@pytest.mark.parametrize(
    "row",
    [("GHSA-1", "0.1", "0.1"), ("CVE-1", "x", "0.1"), ("CVE-1", "0.1"), ("CVE-1", "1.1", "0"), ("CVE-1", "nan", "0")],
)
def test_an_unreadable_epss_row_is_a_fault_and_the_others_are_read(row: tuple[str, ...]) -> None:
    fault, prediction = EPSS.parse(BytesIO(make_epss(row, ("CVE-2", "0.5", "1"))), ONLY_PART)
    assert isinstance(fault, FaultyRecord)
    assert fault.name == "line 3"
    assert prediction == CvePrediction("CVE-2", 0.5, 1.0)


@pytest.mark.parametrize("data", [b"", b"#model\n", b"id,score\n", make_epss()[:-9], b"#" + b"x" * 5000, b"\xff\n"])
def test_an_epss_file_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="EPSS file"):
        list(EPSS.parse(BytesIO(data), ONLY_PART))


def test_feeds_are_found_by_walking_their_package() -> None:
    assert [feed.name for feed in feeds.load()] == ["amazon", "cvss", "epss", "kev", "osv"]


@pytest.mark.parametrize("content", ["FEEDS = ()", "import nowhere_at_all", "1 +"])
def test_a_feed_that_fails_to_load_is_an_error(content: str, tmp_path: Path) -> None:
    name = f"feeds_of_test_{abs(hash(content))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "broken.py").write_text(content)
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(DockgateError, match=f"{name}.broken"):
            feeds.load(name)
    finally:
        sys.path.remove(str(tmp_path))
