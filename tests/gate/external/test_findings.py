"""Findings documents of all formats: which are refused, and what stays unknown."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.gate import external as formats
from dockgate.gate.external._fields import read_digest, read_number, read_severity, read_timestamp
from dockgate.services.images import external_findings
from dockgate.shared import canonical
from dockgate.shared.errors import DockgateError, UsageError
from dockgate.vulnerabilities.model import Severity

CASES = Path(__file__).parent.parent.parent / "cases" / "findings"
DOCUMENTS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(CASES.glob("*.json"))}
IMAGE = "sha256:" + "ab" * 32
OTHER_IMAGE = "sha256:" + "12" * 32


def read(document: Any, image: str = "", at: str = "") -> Any:
    return external_findings.read(json.dumps(document).encode(), "it.json", image, at)


def without_digest(name: str) -> Any:
    document = copy.deepcopy(DOCUMENTS[name])
    if name == "sarif":
        del document["runs"][0]["properties"]
    elif name == "trivy-findings":
        del document["Metadata"]["RepoDigests"]
    elif name == "grype":
        del document["source"]["target"]["repoDigests"], document["source"]["target"]["manifestDigest"]
    else:
        del document["metadata"]["component"]
    return document


def test_several_matches_of_one_package_and_vulnerability_are_merged() -> None:
    document = copy.deepcopy(DOCUMENTS["grype"])
    match = next(match for match in document["matches"] if match["artifact"]["name"] == "lodash")
    second = copy.deepcopy(match)
    match["vulnerability"]["fix"] = {"versions": [], "state": "unknown"}
    second["relatedVulnerabilities"] = [*second["relatedVulnerabilities"], {"id": "CVE-2021-99999"}]
    second["vulnerability"]["severity"] = "Low"
    for matches in ([match, second], [second, match]):
        document |= {"matches": matches, "ignoredMatches": []}
        (finding,) = read(document)[0].matches.findings
        assert (finding.fixed, finding.note, finding.severity) == ("4.17.21", None, Severity.HIGH)
        assert "CVE-2021-99999" in finding.aliases


def test_formats_are_found_by_walking_their_folder() -> None:
    modules = {path.stem for path in Path(formats.__file__).parent.glob("[!_]*.py")}
    assert {candidate.name for candidate in formats.load()} == modules


@pytest.mark.parametrize("name", DOCUMENTS)
def test_one_format_at_most_recognises_a_document(name: str) -> None:
    assert sum(candidate.can_read(DOCUMENTS[name]) for candidate in formats.load()) == 1


@pytest.mark.parametrize("name", ["sarif", "trivy-findings", "grype", "cyclonedx"])
def test_a_report_without_a_digest_is_refused_unless_the_digest_is_passed(name: str) -> None:
    document = without_digest(name)
    with pytest.raises(UsageError, match="does not contain the image's digest"):
        read(document)
    (report,) = read(document, IMAGE)
    assert report.inventory.image == IMAGE


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_report_of_another_image_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        read(DOCUMENTS[name], OTHER_IMAGE)


def test_an_empty_list_of_inspector_findings_needs_a_digest() -> None:
    with pytest.raises(UsageError, match="names no image"):
        read({"findings": []})
    (report,) = read({"findings": []}, IMAGE)
    assert "may not have scanned the image" in report.matches.undetermined[0].reason


def test_a_report_of_a_manifest_does_not_cover_its_index() -> None:
    index = "sha256:" + "99" * 32
    (report,) = read(DOCUMENTS["grype-of-an-index"], index)
    assert [entry.kind for entry in report.matches.undetermined] == ["uncovered"]
    (report,) = read(DOCUMENTS["grype-of-an-index"], IMAGE)
    assert report.matches.undetermined == ()


def test_the_passed_time_applies_only_to_a_report_without_one() -> None:
    document = copy.deepcopy(DOCUMENTS["sarif"])
    assert read(document, at="2026-11-01T00:00:00Z")[0].at == "2026-11-24T06:00:00.000Z"
    del document["runs"][0]["invocations"]
    assert read(document)[0].at is None
    assert read(document, at="2026-11-01T01:00:00+01:00")[0].at == "2026-11-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "it.json is not JSON"),
        (b"\xff\xfe", "it.json is not JSON"),
        (b"[" * 100_000, "it.json is nested too deeply"),
        (b"{}", "it.json is not a supported findings document"),
        (b"[]", "is not a supported findings document"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}', "is not a supported findings document"),
        (
            b'{"bomFormat": "CycloneDX", "specVersion": "1.3", "vulnerabilities": []}',
            "CycloneDX 1.3 is not supported",
        ),
        (b'{"SchemaVersion": 1, "ArtifactType": "container_image"}', "it.json: Trivy's schema 1 is not supported"),
        (
            b'{"SchemaVersion": 2, "ArtifactType": "filesystem"}',
            "is about a filesystem, not an image",
        ),
        (b'{"matches": [{}], "matches": []}', "it.json is not JSON: an object has the key 'matches' twice"),
        (b'{"version": "2.0.0", "runs": []}', "it.json: SARIF 2.0.0 is not supported"),
        (b'{"version": "2.1.0", "runs": []}', "it.json: the document has no runs"),
        (
            b'{"matches": [], "descriptor": {"name": "grype"}, "source": {"type": "directory"}}',
            "source of type directory",
        ),
        (
            b'{"detail-type": "Inspector2 Scan", "detail": {"instance-id": "i-1"}}',
            "it.json: the event has no detail",
        ),
        (b'{"findings": [{"findingArn": "a", "status": "OPEN"}]}', r"it.json: findings\[0\].status is OPEN"),
    ],
)
def test_an_unreadable_document_is_refused_with_name_and_location(data: bytes, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        external_findings.read(data, "it.json")


def test_a_list_with_an_unexpected_item_is_refused() -> None:
    document = copy.deepcopy(DOCUMENTS["trivy-findings"])
    document["Results"][0]["Vulnerabilities"][0] = "CVE-2026-1"
    with pytest.raises(UsageError, match=r"Results\[0\].Vulnerabilities must be a list of objects"):
        read(document)


@pytest.mark.parametrize("tools", [5, {"components": 5}, {"components": {"name": "x"}}, [5]])
def test_tools_in_an_unknown_form_leave_the_default_source(tools: Any) -> None:
    document = copy.deepcopy(DOCUMENTS["cyclonedx"])
    document["metadata"]["tools"] = tools
    assert read(document)[0].source == "cyclonedx"


def test_a_wrong_digest_or_time_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a digest"):
        read(DOCUMENTS["sarif"], "latest")
    with pytest.raises(UsageError, match="is not a time"):
        read(DOCUMENTS["sarif"], at="yesterday")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-24T06:00:00Z", "2026-11-24T06:00:00.000Z"),
        ("2026-11-24T07:00:00.5+01:00", "2026-11-24T06:00:00.500Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
        ("Jan 19, 2022, 10:46:15 PM", "2022-01-19T22:46:15.000Z"),
        ("Jan 19, 2022, 10:46:15\u202fPM", "2022-01-19T22:46:15.000Z"),
        ("Wed, 19 Jan 2022 22:46:15 GMT", "2022-01-19T22:46:15.000Z"),
        (1642632375, "2022-01-19T22:46:15.000Z"),
        (1642632375000, "2022-01-19T22:46:15.000Z"),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        (1e300, None),
        ("9999-12-31T23:59:59-12:00", None),
    ],
)
def test_times_are_read_in_the_forms_that_scanners_write(value: Any, expected: str | None) -> None:
    assert read_timestamp(value) == expected


def test_unknown_words_and_numbers_have_no_value() -> None:
    assert read_severity("catastrophic") is Severity.UNTRIAGED
    assert read_severity(None) is Severity.UNTRIAGED
    assert read_severity(" Moderate ") is Severity.MEDIUM
    assert [read_number(value, 10) for value in (11, -1, True, "x", None, float("nan"), "7.5", 10**400)] == [
        *([None] * 6),
        7.5,
        None,
    ]
    assert {read_digest("app:1"), read_digest("sha256:12"), read_digest(None)} == {None}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("pkg:deb/a/b@1"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=scale_examples(150), deadline=None)
@given(name=st.sampled_from(sorted(DOCUMENTS)), data=st.data())
def test_a_changed_document_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """A random value at any place gives an error, or a report that can be stored."""
    document = copy.deepcopy(DOCUMENTS[name])
    at: Any = document
    while True:
        keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(at[key], (dict, list)) and at[key]) or data.draw(st.integers(0, 3)) == 0:
            break
        at = at[key]
    at[key] = data.draw(ANYTHING)
    try:
        reports = read(document)
    except DockgateError:
        return
    for report in reports:
        canonical.encode(report)


def test_inspector_formats_import_only_our_model_and_the_standard_library() -> None:
    """They are part of the Lambda archive, which has nothing else."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "import dockgate.gate.external.inspector, dockgate.gate.external.inspector_scan\n"
        "new = {name for name in set(sys.modules) - before}\n"
        "parts = {'.'.join(name.split('.')[:2]) for name in new if name.startswith('dockgate.')}\n"
        "others = {name.partition('.')[0] for name in new} - set(sys.stdlib_module_names) - {'dockgate'}\n"
        "print(sorted(parts), sorted(others))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == (
        "['dockgate.gate', 'dockgate.scanner', 'dockgate.shared', 'dockgate.vulnerabilities'] []\n",
        "",
    )


@pytest.mark.parametrize(
    ("epoch", "version"), [(2, "2:1.0-3"), (0, "1.0-3"), (None, "1.0-3"), (True, "1.0-3"), (-1, "1.0-3")]
)
def test_epoch_version_and_release_are_joined_for_every_scanner(epoch: Any, version: str) -> None:
    trivy = copy.deepcopy(DOCUMENTS["trivy-findings"])
    package = {"Name": "a", "Epoch": epoch, "Version": "1.0", "Release": "3"}
    trivy["Results"] = [{"Class": "os-pkgs", "Packages": [package]}]
    inspector = copy.deepcopy(DOCUMENTS["inspector-event"])
    package = {"name": "a", "packageManager": "OS", "epoch": epoch, "version": "1.0", "release": "3"}
    inspector["detail"]["packageVulnerabilityDetails"]["vulnerablePackages"] = [package]
    for document in (trivy, inspector):
        (report,) = read(document)
        assert [package.version for package in report.inventory.packages] == [version]
