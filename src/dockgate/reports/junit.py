"""JUnit XML as in the schema of Jenkins' xunit plugin (junit-10.xsd): one suite per platform.

Each finding is a test case. All findings of a scan fail. Of a verdict, findings that break the policy fail; others are
skipped, as are warnings and notes. Undetermined entries are errors. A platform without any has one case that passes.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Literal, TextIO

from dockgate.gate.next_steps import describe_next_steps
from dockgate.reports import Report
from dockgate.reports import _wording as wording
from dockgate.reports._image_report import TOOL, ImageFormat, ImageReport, PlatformPart
from dockgate.shared.escaping import clean_text
from dockgate.vulnerabilities.model import Finding

Outcome = Literal["failure", "error", "skipped", ""]
# class, name, outcome, its kind, message, text.
Case = tuple[str, str, Outcome, str, str, str]

_NO_FINDINGS: Case = (TOOL.lower(), "no findings", "", "", "", "")


def _write(report: ImageReport, output: TextIO) -> None:
    suites = [(part, list(_build_cases(part)) or [_NO_FINDINGS]) for part in report.parts]
    all_cases = [case for _, cases in suites for case in cases]
    output.write("<?xml version='1.0' encoding='UTF-8'?>\n")
    output.write(f"<testsuites{_write_attributes(name=TOOL.lower(), **_count_outcomes(all_cases))}>\n")
    for part, cases in suites:
        skipped_count = str(sum(case[2] == "skipped" for case in cases))
        name = " ".join(filter(None, (report.reference, part.label)))
        numbers = {**_count_outcomes(cases), "skipped": skipped_count, "timestamp": report.created_at[:19]}
        output.write(f"  <testsuite{_write_attributes(name=name, **numbers)}>\n")
        output.write("    <properties>\n")
        for key, value in _list_properties(report, part):
            output.write(f"      <property{_write_attributes(name=key, value=value)}/>\n")
        output.write("    </properties>\n")
        for case in cases:
            output.write(_write_case(*case))
        output.write("  </testsuite>\n")
    output.write("</testsuites>\n")


REPORT: Report = ImageFormat(_write)


def _count_outcomes(cases: list[Case]) -> dict[str, str]:
    outcomes = [case[2] for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
    }


def _list_properties(report: ImageReport, part: PlatformPart) -> Iterator[tuple[str, str]]:
    yield "digest", report.digest
    yield "manifest", part.manifest
    if report.verdict and part.platform_verdict:
        yield "status", part.platform_verdict.status.value
        yield "policy", report.verdict.policy
        yield from (("remediation", command) for command in part.platform_verdict.remediation.commands)


def _build_cases(part: PlatformPart) -> Iterator[Case]:
    broken_rules = part.broken_rules
    for finding in part.findings:
        rules = broken_rules.get(finding, ())
        outcome: Outcome = "failure" if rules or not part.platform_verdict else "skipped"
        waiver = part.waived_findings.get(finding)
        message = (
            wording.describe_waiver(waiver)
            if waiver
            else wording.describe_finding(finding)
            if outcome == "failure"
            else f"Within the policy: {wording.describe_finding(finding)}"
        )
        name = f"{finding.id} in {wording.format_package(finding.package)}"
        package = finding.package
        group = f"{package.ecosystem}/{package.source_name}".replace(".", "_")  # readers take dots for folders
        yield group, name, outcome, finding.severity.value, message, "\n".join(_describe_finding(finding, rules))
    for violation in part.platform_verdict.violations if part.platform_verdict else ():
        if not violation.findings:
            yield "policy", violation.rule, "failure", violation.rule, violation.message, ""
    for kind, violations in part.non_blocking:
        for violation in violations:
            yield "policy", violation.rule, "skipped", kind, f"{kind.capitalize()}: {violation.message}", ""
    for entry in part.waived_violations:
        yield (
            "policy",
            wording.describe_waived_subject(entry),
            "skipped",
            entry.kind,
            wording.describe_waiver(entry),
            "",
        )
    for undetermined_entry in part.undetermined:
        steps = clean_text(describe_next_steps(undetermined_entry, part.manifest)) if part.platform_verdict else ""
        yield (
            "undetermined",
            undetermined_entry.subject,
            "error",
            undetermined_entry.kind or "undetermined",
            undetermined_entry.reason,
            steps,
        )


def _describe_finding(finding: Finding, rules: tuple[str, ...]) -> Iterable[str]:
    package = finding.package
    yield clean_text(wording.describe_remediation(finding))
    yield clean_text(f"severity: {finding.severity} (rated by {finding.rating.source or 'unknown'})")
    yield clean_text(f"package: {package.purl}")
    yield clean_text(f"path: {package.path}")
    if finding.aliases:
        yield clean_text(f"aliases: {', '.join(finding.aliases)}")
    if finding.exploited:
        yield clean_text(f"known exploited since: {finding.exploited}")
    if finding.epss is not None:
        yield f"EPSS: {finding.epss:.1%}"
    if rules:
        yield clean_text(f"breaks: {', '.join(rules)}")


def _write_case(group: str, name: str, outcome: Outcome, kind: str, message: str, text: str) -> str:
    head = f"    <testcase{_write_attributes(classname=group, name=name)}"
    if not outcome:
        return head + "/>\n"
    attributes = _write_attributes(type=kind, message=message)
    return f"{head}>\n      <{outcome}{attributes}>{escape(text)}</{outcome}>\n    </testcase>\n"


def _write_attributes(**values: str) -> str:
    return "".join(f' {name}="{escape(clean_text(value))}"' for name, value in values.items())
