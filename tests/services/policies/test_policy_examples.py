"""A policy's examples: read with the line of every error, and judged by the gate itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.gate.rules.policy_cases import list_cases
from tests.gate.samples import CHECKED, NOW

from dockgate.gate.definitions import policy
from dockgate.services.policies.policy_examples import test as run
from dockgate.shared.errors import DefinitionError

DEFINITIONS = Path(policy.__file__).parent
CASES = dict(list_cases())
COMPLETE = """\
kind: Policy
name: strict
rules:
  max_findings:
    HIGH: 0
examples:
  - name: a HIGH rejects
    findings:
      - {id: CVE-2025-1, package: "pkg:npm/a@1.0.0", severity: HIGH, fixed: 2.0.0}
    expect: Rejected
"""


def list_problems(text: str) -> list[str]:
    return [problem for outcome in run(text, "p.yaml").outcomes for problem in outcome.problems]


@pytest.mark.parametrize("name", policy.BUILTIN)
def test_every_policy_that_comes_with_dockgate_has_examples_that_hold(name: str) -> None:
    file = DEFINITIONS / f"{name}.examples.yaml"
    report = run(file.read_text(), str(file))
    assert report.policy == name
    assert [(outcome.name, outcome.problems) for outcome in report.outcomes if outcome.problems] == []


def write_example(case: Mapping[str, Any]) -> str:
    """The case of a rule, written as an example."""
    expect = {"violations": [], "warnings": [], "notes": [], "undetermined": [], **case["expect"]}
    expect.pop("summary", None)
    example = {"now": NOW, "checked": CHECKED, "feeds": ["npm", "epss", "kev"], **case, "expect": expect}
    example["image"] = {"base_layers": 0, **example.get("image", {})}
    del example["policy"], example["file"]
    return json.dumps({"policy": case["policy"], "examples": [example]})


def test_an_example_can_expect_every_message_of_a_rule() -> None:
    problems = {name: list_problems(write_example(case)) for name, case in CASES.items()}
    assert {name: texts for name, texts in problems.items() if texts} == {}


def test_a_failing_example_shows_the_actual_result() -> None:
    assert list_problems(COMPLETE) == []
    assert list_problems(COMPLETE.replace("HIGH: 0", "HIGH: 1")) == ["expected Rejected, was Approved"]
    (problem,) = list_problems(COMPLETE.replace("Rejected", "Approved"))
    assert problem == "expected Approved, was Rejected: 1 HIGH finding, at most 0 allowed"
    outcome = run(COMPLETE.replace("Rejected", "Approved"), "p.yaml").outcomes[0]
    assert (outcome.name, outcome.line, outcome.status) == ("a HIGH rejects", 7, "Rejected")


@pytest.mark.parametrize(
    ("expect", "output"),
    [
        ("{status: Rejected, violations: [max_findings]}", []),
        ("{status: Rejected, violations: 1 HIGH}", []),
        (
            "{status: Rejected, violations: []}",
            ["violations: not expected, max_findings: 1 HIGH finding, at most 0 allowed"],
        ),
        (
            "{status: Rejected, violations: [max_findings, malicious]}",
            ["violations: expected 'malicious', was max_findings: 1 HIGH finding, at most 0 allowed"],
        ),
        ("{status: Rejected, warnings: [exploited]}", ["warnings: expected 'exploited', was nothing"]),
    ],
)
def test_only_listed_expectations_are_allowed(expect: str, output: list[str]) -> None:
    assert list_problems(COMPLETE.replace("expect: Rejected", f"expect: {expect}")) == output


def test_an_invalid_finding_is_reported_with_its_line() -> None:
    (problem,) = list_problems(COMPLETE.replace("fixed: 2.0.0", "fixed: 0.9.0"))
    assert problem.startswith("line 9: CVE-2025-1 does not affect pkg:npm/a@1.0.0: is the version below 0.9.0")


def test_packages_of_distributions_base_images_waivers_and_vex_take_part() -> None:
    text = """\
policy:
  max_findings: [{HIGH: 0, only_fixable: true}]
  vex: {authors: [{name: vendor}]}
examples:
  - name: debian
    image: {distribution: {id: debian, version: "13"}, base: "debian:13"}
    findings:
      - {id: CVE-2025-1, package: "pkg:deb/debian/openssl@3.0-1", layer: base, severity: HIGH, fixed: 3.0-2}
      - {id: CVE-2025-2, package: "pkg:deb/debian/zlib@1.2", severity: HIGH, fixed: "1.3"}
    waivers: [{vulnerability: CVE-2025-1, until_fixed: true}, {vulnerability: CVE-2025-2, until: 2026-02-01}]
    expect: {status: Rejected, violations: ["1 HIGH"], waived: [CVE-2025-2]}
  - name: the vendor says so
    findings: [{id: CVE-2025-1, package: "pkg:npm/a@1.0.0", severity: HIGH, fixed: 2.0.0}]
    vex: [{author: vendor, vulnerability: CVE-2025-1, package: "pkg:npm/a@1.0.0", justification: code_not_reachable}]
    expect: {status: Approved, waived: [CVE-2025-1]}
  - name: another does
    findings: [{id: CVE-2025-1, package: "pkg:npm/a@1.0.0", severity: HIGH, fixed: 2.0.0}]
    vex: [{author: mallory, vulnerability: CVE-2025-1, package: "pkg:npm/a@1.0.0"}]
    expect: Rejected
"""
    assert list_problems(text) == []


def test_a_policy_may_lie_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "strict.yaml").write_text("max_findings:\n  HIGH: 0\n")
    text = "policy: strict.yaml\nexamples:\n  - {name: clean, packages: ['pkg:npm/a@1.0.0'], expect: Approved}\n"
    report = run(text, str(tmp_path / "examples.yaml"))
    assert (report.policy, report.has_passed) == ("strict", True)
    with pytest.raises(DefinitionError, match=r"examples.yaml:1: policy: .*gone.yaml: No such file"):
        run(text.replace("strict", "gone"), str(tmp_path / "examples.yaml"))


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (("severity: HIGH", "severity: HIHG"), "p.yaml:9: examples.0.findings.0.severity: "),
        (("severity: HIGH", "severtiy: HIGH"), "p.yaml:9: examples.0.findings.0.severtiy: unknown key"),
        (("pkg:npm/a@1.0.0", "npm/a"), "p.yaml:9: examples.0.findings.0.package: "),
        (("pkg:npm/a@1.0.0", "pkg:rpm/a@1"), "p.yaml:9: examples.0.findings.0.package: which release"),
        (("expect: Rejected", "expect: Rejceted"), "p.yaml:10: examples.0.expect"),
        (("    expect: Rejected\n", ""), "p.yaml:7: examples.0: the key 'expect' is missing"),
        (("expect: Rejected", "expect: Rejected\n    now: soon"), "p.yaml:11: examples.0.now: write a date"),
        (
            ("expect: Rejected", "waivers: [{vulnerability: C}]\n    expect: Rejected"),
            "p.yaml:10: examples.0.waivers.0",
        ),
        (("HIGH: 0", "HIHG: 0"), "p.yaml:5: rules.max_findings.HIHG"),
        (("examples:", "exmaples:"), "p.yaml:1: the document has no examples"),
    ],
)
def test_every_error_has_its_line(change: tuple[str, str], output: str) -> None:
    with pytest.raises(DefinitionError) as error:
        run(COMPLETE.replace(*change), "p.yaml")
    assert str(error.value).startswith(output)
