"""Every format shows waived findings."""

import io
import json
from typing import Any

import pytest
from tests.reports.samples import FINDINGS, make_reports

from dockgate import reports as formats
from dockgate.reports import write

REPORT = make_reports()["waived"]


def write_report(form: str) -> str:
    output = io.StringIO()
    write(REPORT, form, output)
    return output.getvalue()


@pytest.mark.parametrize("form", [name for name in formats.list_names() if name != "case"])
def test_every_format_shows_waived_findings_and_who_accepted_them(form: str) -> None:
    text = write_report(form)
    for finding in FINDINGS:
        assert finding.id in text
    for word in ("w-1", "ana", "never", "component_not_present", "Backported", "Vendor"):
        assert word in text, word
    if form not in ("cyclonedx", "openvex", "spdx"):  # these hold packages only
        assert "w-2" in text
        assert "Seen by hand" in text
    assert "\x1b[2J" not in text


def test_sarif_has_external_suppressions() -> None:
    results = json.loads(write_report("sarif"))["runs"][0]["results"]
    kinds = [[suppression["kind"] for suppression in result.get("suppressions", ())] for result in results]
    assert kinds == [["external"], [], ["external"], ["external"], [], ["external"]]


def test_vex_statements_are_passed_on_and_waived_packages_stay_affected() -> None:
    statuses: dict[str, set[Any]] = {}
    for statement in json.loads(write_report("openvex"))["statements"]:
        statuses.setdefault(statement["vulnerability"]["name"], set()).add(statement["status"])
    assert statuses == {
        "CVE-2025-0001": {"affected"},
        "CVE-2019-10906": {"not_affected"},
        "CVE-2024-34069": {"fixed"},
        "CVE-2022-0563": {"affected"},
    }
    analyses = [
        vulnerability.get("analysis", {}).get("state", "")
        for vulnerability in json.loads(write_report("cyclonedx"))["vulnerabilities"]
    ]
    assert sorted(analyses) == ["", "", "", "not_affected", "resolved"]


def test_junit_skips_waived_findings() -> None:
    assert write_report("junit").count("<skipped") == 6
    assert "Accepted by ana until 2026-12-31" in write_report("junit")
