"""What holds of documents of findings whatever their format: what is refused, and what is told where it is not said."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockgate.gate import external as formats
from dockgate.gate.external._read import digest, moment, number, severity
from dockgate.services import external_findings
from dockgate.shared import canonical
from dockgate.shared.errors import DockgateError, UsageError
from dockgate.vulnerabilities.model import Severity

CASES = Path(__file__).parent.parent.parent / "cases" / "findings"
DOCUMENTS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(CASES.glob("*.json"))}
IMAGE = "sha256:" + "ab" * 32
OTHER = "sha256:" + "12" * 32


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


def test_several_matches_of_one_package_and_vulnerability_are_joined() -> None:
    document = copy.deepcopy(DOCUMENTS["grype"])
    match = next(one for one in document["matches"] if one["artifact"]["name"] == "lodash")
    second = copy.deepcopy(match)
    match["vulnerability"]["fix"] = {"versions": [], "state": "unknown"}
    second["relatedVulnerabilities"] = [*second["relatedVulnerabilities"], {"id": "CVE-2021-99999"}]
    second["vulnerability"]["severity"] = "Low"
    for matches in ([match, second], [second, match]):
        document |= {"matches": matches, "ignoredMatches": []}
        (finding,) = read(document)[0].matches.findings
        assert (finding.fixed, finding.note, finding.severity) == ("4.17.21", "", Severity.HIGH)
        assert "CVE-2021-99999" in finding.aliases


def test_formats_are_found_by_walking_their_folder() -> None:
    modules = {path.stem for path in Path(formats.__file__).parent.glob("[!_]*.py")}
    assert {one.name for one in formats.load()} == modules


@pytest.mark.parametrize("name", DOCUMENTS)
def test_one_format_at_most_recognises_a_document(name: str) -> None:
    assert sum(one.recognises(DOCUMENTS[name]) for one in formats.load()) == 1


@pytest.mark.parametrize("name", ["sarif", "trivy-findings", "grype", "cyclonedx"])
def test_a_report_that_names_no_image_by_digest_is_refused_unless_it_is_said(name: str) -> None:
    document = without_digest(name)
    with pytest.raises(UsageError, match="does not say of which image it is, by digest"):
        read(document)
    (reported,) = read(document, IMAGE)
    assert reported.inventory.image == IMAGE


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_report_of_another_image_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        read(DOCUMENTS[name], OTHER)


def test_an_empty_list_of_inspectors_is_of_no_image() -> None:
    with pytest.raises(UsageError, match="names no image"):
        read({"findings": []})
    (reported,) = read({"findings": []}, IMAGE)
    assert "whether it scanned the image is not said" in reported.matches.undetermined[0].reason


def test_a_report_of_a_manifest_does_not_cover_its_index() -> None:
    index = "sha256:" + "99" * 32
    (reported,) = read(DOCUMENTS["grype-of-an-index"], index)
    assert [one.kind for one in reported.matches.undetermined] == ["uncovered"]
    (reported,) = read(DOCUMENTS["grype-of-an-index"], IMAGE)
    assert reported.matches.undetermined == ()


def test_when_a_report_was_made_is_asked_for_only_where_it_does_not_say() -> None:
    document = copy.deepcopy(DOCUMENTS["sarif"])
    assert read(document, at="2026-11-01T00:00:00Z")[0].at == "2026-11-24T06:00:00.000Z"
    del document["runs"][0]["invocations"]
    assert read(document)[0].at == ""
    assert read(document, at="2026-11-01T01:00:00+01:00")[0].at == "2026-11-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it.json is no JSON"),
        (b"\xff\xfe", "it.json is no JSON"),
        (b"[" * 100_000, "it.json is nested too deeply"),
        (b"{}", "it.json holds no findings in a known format"),
        (b"[]", "no findings in a known format"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}', "no findings in a known format"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.3", "vulnerabilities": []}', "it.json: It is CycloneDX 1.3"),
        (b'{"SchemaVersion": 1, "ArtifactType": "container_image"}', "it.json: It is of Trivy's schema 1"),
        (b'{"SchemaVersion": 2, "ArtifactType": "filesystem"}', "it.json: It is of a filesystem, not of an image"),
        (b'{"version": "2.0.0", "runs": []}', "it.json: It is SARIF 2.0.0"),
        (b'{"version": "2.1.0", "runs": []}', "it.json: It has no run"),
        (b'{"matches": [], "descriptor": {"name": "grype"}, "source": {"type": "directory"}}', "that is no image"),
        (b'{"detail-type": "Inspector2 Scan", "detail": {"instance-id": "i-1"}}', "it.json: It is of no image"),
        (b'{"findings": [{"findingArn": "a", "status": "OPEN"}]}', r"it.json: findings\[0\].status is OPEN"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_and_place(data: bytes, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        external_findings.read(data, "it.json")


def test_a_list_with_something_else_in_it_is_refused() -> None:
    document = copy.deepcopy(DOCUMENTS["trivy-findings"])
    document["Results"][0]["Vulnerabilities"][0] = "CVE-2026-1"
    with pytest.raises(UsageError, match=r"Results\[0\].Vulnerabilities is no list of objects"):
        read(document)


@pytest.mark.parametrize("tools", [5, {"components": 5}, {"components": {"name": "x"}}, [5]])
def test_tools_in_no_known_form_leave_the_source_unnamed(tools: Any) -> None:
    document = copy.deepcopy(DOCUMENTS["cyclonedx"])
    document["metadata"]["tools"] = tools
    assert read(document)[0].source == "cyclonedx"


def test_a_wrong_digest_or_time_is_refused() -> None:
    with pytest.raises(UsageError, match="is no digest"):
        read(DOCUMENTS["sarif"], "latest")
    with pytest.raises(UsageError, match="is no time"):
        read(DOCUMENTS["sarif"], at="yesterday")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-24T06:00:00Z", "2026-11-24T06:00:00.000Z"),
        ("2026-11-24T07:00:00.5+01:00", "2026-11-24T06:00:00.500Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
        ("Jan 19, 2022, 10:46:15 PM", "2022-01-19T22:46:15.000Z"),
        ("Jan 19, 2022, 10:46:15\u202fPM", "2022-01-19T22:46:15.000Z"),
        ("Wed, 19 Jan 2022 22:46:15 GMT", "2022-01-19T22:46:15.000Z"),
        (1642632375, "2022-01-19T22:46:15.000Z"),
        (1642632375000, "2022-01-19T22:46:15.000Z"),
        ("soon", ""),
        ("", ""),
        (None, ""),
        (True, ""),
        (1e300, ""),
        ("9999-12-31T23:59:59-12:00", ""),
    ],
)
def test_times_are_read_in_the_forms_that_scanners_write(written: Any, meant: str) -> None:
    assert moment(written) == meant


def test_words_and_numbers_that_nobody_knows_are_unknown() -> None:
    assert severity("catastrophic") is Severity.UNTRIAGED
    assert severity(None) is Severity.UNTRIAGED
    assert severity(" Moderate ") is Severity.MEDIUM
    assert [number(one, 10) for one in (11, -1, True, "x", None, float("nan"), "7.5", 10**400)] == [
        *([-1.0] * 6),
        7.5,
        -1.0,
    ]
    assert digest("app:1") == digest("sha256:12") == digest(None) == ""


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("pkg:deb/a/b@1"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(DOCUMENTS)), data=st.data())
def test_a_changed_document_is_read_or_refused_and_nothing_else(name: str, data: st.DataObject) -> None:
    """Whatever stands at any one place: an error that says so, or values that can be kept."""
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
    for reported in reports:
        canonical.encode(reported)


def test_inspectors_shapes_are_read_by_the_core_and_the_standard_library_alone() -> None:
    """They are part of the Lambda archive, which holds nothing else."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "import dockgate.gate.external.inspector, dockgate.gate.external.inspector_scan\n"
        "new = {name for name in set(sys.modules) - before}\n"
        "parts = {'.'.join(name.split('.')[:2]) for name in new if name.startswith('dockgate.')}\n"
        "others = {name.partition('.')[0] for name in new} - set(sys.stdlib_module_names) - {'dockgate'}\n"
        "print(sorted(parts), sorted(others))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (
        "['dockgate.gate', 'dockgate.scanner', 'dockgate.shared', 'dockgate.vulnerabilities'] []\n",
        "",
    )


@pytest.mark.parametrize(
    ("epoch", "version"), [(2, "2:1.0-3"), (0, "1.0-3"), (None, "1.0-3"), (True, "1.0-3"), (-1, "1.0-3")]
)
def test_a_version_is_put_together_alike_from_every_scanner(epoch: Any, version: str) -> None:
    trivy = copy.deepcopy(DOCUMENTS["trivy-findings"])
    told = {"Name": "one", "Epoch": epoch, "Version": "1.0", "Release": "3"}
    trivy["Results"] = [{"Class": "os-pkgs", "Packages": [told]}]
    inspector = copy.deepcopy(DOCUMENTS["inspector-event"])
    told = {"name": "one", "packageManager": "OS", "epoch": epoch, "version": "1.0", "release": "3"}
    inspector["detail"]["packageVulnerabilityDetails"]["vulnerablePackages"] = [told]
    for document in (trivy, inspector):
        (reported,) = read(document)
        assert [one.version for one in reported.inventory.packages] == [version]
