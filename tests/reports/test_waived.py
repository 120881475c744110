"""What does not count is told in every format, and hidden in none."""

import io
import json
from typing import Any

import pytest
from tests.reports.samples import FINDINGS, reports

from dockgate import reports as formats
from dockgate.services.reports import write

REPORT = reports()["waived"]


def written(form: str) -> str:
    out = io.StringIO()
    write(REPORT, form, out)
    return out.getvalue()


@pytest.mark.parametrize("form", [name for name in formats.names() if name != "case"])
def test_every_format_says_by_whose_word_and_shows_every_finding(form: str) -> None:
    text = written(form)
    for finding in FINDINGS:
        assert finding.id in text
    for word in ("w-1", "ana", "never", "component_not_present", "Backported", "Vendor"):
        assert word in text, word
    if form not in ("cyclonedx", "openvex", "spdx"):  # they speak of packages alone
        assert "w-2" in text
        assert "Seen by hand" in text
    assert "\x1b[2J" not in text


def test_a_suppression_from_outside_in_sarif() -> None:
    results = json.loads(written("sarif"))["runs"][0]["results"]
    kinds = [[one["kind"] for one in result.get("suppressions", ())] for result in results]
    assert kinds == [["external"], [], ["external"], ["external"], [], ["external"]]


def test_vex_is_passed_on_and_a_waiver_leaves_the_package_affected() -> None:
    said: dict[str, set[Any]] = {}
    for one in json.loads(written("openvex"))["statements"]:
        said.setdefault(one["vulnerability"]["name"], set()).add(one["status"])
    assert said == {
        "CVE-2025-0001": {"affected"},
        "CVE-2019-10906": {"not_affected"},
        "CVE-2024-34069": {"fixed"},
        "CVE-2022-0563": {"affected"},
    }
    analyses = [one.get("analysis", {}).get("state", "") for one in json.loads(written("cyclonedx"))["vulnerabilities"]]
    assert sorted(analyses) == ["", "", "", "not_affected", "resolved"]


def test_junit_skips_it() -> None:
    assert written("junit").count("<skipped") == 6
    assert "Accepted by ana until 2026-12-31" in written("junit")
