"""Findings and verdicts in lines for people."""

from collections.abc import Iterable, Mapping

from rich.text import Text

from dockgate.gate.model import Status
from dockgate.reports import _wording as wording
from dockgate.shared.terminal_lines import make_line
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities.model import Finding, Severity

# Columns of an advisory id: GHSA-xxxx-xxxx-xxxx, CVE-2024-123456.
ID_WIDTH = 20
NAME_WIDTH = 34
SEVERITY: Mapping[str, str] = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFORMATIONAL: "dim",
    Severity.UNTRIAGED: "magenta",
}
STATUS: Mapping[str, tuple[str, str]] = {
    Status.APPROVED: ("✓", "bold green"),
    Status.REJECTED: ("✗", "bold red"),
    Status.UNDETERMINED: ("?", "bold yellow"),
}


def format_severity(finding: Finding) -> Text:
    """The severity in its colour."""
    return Text(finding.severity.value, SEVERITY[finding.severity])


def format_fix(finding: Finding) -> Text:
    """ "fixed in 1.2", or why there is no fix."""
    if finding.fixed:
        return make_line("fixed in ", (finding.fixed, "green"))
    return Text(wording.describe_fix(finding), "dim italic")


def format_finding_notes(finding: Finding) -> Text:
    """List what makes a finding urgent beyond its severity, and other notes."""
    return Text(", ").join(
        [make_line((word, "bold red")) for word in wording.list_urgent_notes(finding)]
        + [make_line((word, "dim")) for word in wording.list_other_notes(finding)]
    )


def format_findings_line(findings: Iterable[Finding]) -> Text:
    """ "7 findings: 2 HIGH, 5 LOW"."""
    listed_findings = list(findings)
    text = Text(format_count(len(listed_findings), "finding"), "bold")
    for number, (count, kind) in enumerate(wording.count_severities(listed_findings)):
        text.append(": " if number == 0 else ", ").append(f"{count} {kind}", SEVERITY[kind])
    return text
