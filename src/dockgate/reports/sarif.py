"""SARIF 2.1.0 (OASIS Standard, Errata 01), for code scanning.

One run per platform, one result per finding.

Of a verdict, `level` "error" means that the finding breaks the policy; of a scan, the level follows the severity.
Undetermined entries are notifications of an invocation that was not successful. Paths are relative to the image's root.
"""

import hashlib
from typing import TYPE_CHECKING, TextIO

from dockgate.gate.next_steps import advice_of
from dockgate.reports import GateReport, Report, ScanReport
from dockgate.reports._clean import clean
from dockgate.reports._document import Document, drop_empty, write
from dockgate.reports._image_report import (
    TOOL,
    VERSION,
    ImageReport,
    PlatformPart,
    advisory_url,
    finding_sentence,
    image_report,
    relative_uri,
    remediation_sentence,
    waiver_sentence,
)
from dockgate.vulnerabilities.model import Finding, Severity, Undetermined

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver, Violation

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "IMAGE"
_ACCEPTED = "policy/accepted"

_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFORMATIONAL: "note",
    Severity.UNTRIAGED: "warning",
}
# `security-severity`, by which code scanning sorts, for findings without a score: the middle of the CVSS range.
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
    Severity.INFORMATIONAL: "0.0",
}


class Sarif:
    """The report of the format sarif."""

    def scan(self, report: ScanReport, out: TextIO) -> None:
        _write(image_report(report), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        _write(image_report(report), out)


REPORT: Report = Sarif()


def _write(report: ImageReport, out: TextIO) -> None:
    runs = [_run(report, part) for part in report.parts]
    write({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, out)


def _run(report: ImageReport, part: PlatformPart) -> Document:
    rules = {finding.id: _rule(finding) for finding in reversed(part.findings)}
    without_findings = (
        [("error", violation) for violation in part.platform_verdict.violations if not violation.findings]
        if part.platform_verdict
        else []
    )
    without_findings += [(level, violation) for level, violations in part.non_blocking for violation in violations]
    rules |= {_violation_id(violation): _violation_rule(violation) for _, violation in without_findings}
    if part.waived_violations:
        rules[_ACCEPTED] = {"id": _ACCEPTED, "shortDescription": {"text": "An accepted violation of the policy."}}
    index = {identity: number for number, identity in enumerate(rules)}
    broken_rules = part.broken_rules
    return {
        "tool": {"driver": {"name": TOOL, "semanticVersion": VERSION, "rules": list(rules.values())}},
        "automationDetails": {"id": clean(f"dockgate/{report.reference}/{part.platform}/")},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the image's file system."}}},
        "invocations": [
            {
                "executionSuccessful": not part.undetermined,
                "endTimeUtc": report.now,
                "toolExecutionNotifications": [_notification(entry, part) for entry in part.undetermined],
            }
        ],
        "results": [
            *(_result(finding, index[finding.id], part, broken_rules.get(finding, ())) for finding in part.findings),
            *(_violation(violation, level, index[_violation_id(violation)]) for level, violation in without_findings),
            *(_accepted(waived, index[_ACCEPTED]) for waived in part.waived_violations),
        ],
        "properties": _properties(report, part),
    }


def _properties(report: ImageReport, part: PlatformPart) -> Document:
    verdict = report.verdict
    return drop_empty(
        reference=clean(report.reference),
        digest=report.digest,
        platform=clean(part.platform),
        manifest=part.manifest,
        policy=clean(verdict.policy) if verdict else "",
        status=part.platform_verdict.status.value if part.platform_verdict else "",
    )


def _rule(finding: Finding) -> Document:
    title = clean(finding.summary.strip()) or f"{finding.id} in {clean(finding.package.source_name)}"
    score = f"{finding.rating.score:.1f}" if finding.rating.score >= 0 else _SCORES.get(finding.severity)
    text = f"{title}\n\nSeverity: {finding.severity}\n{clean(remediation_sentence(finding))}"
    return drop_empty(
        id=clean(finding.id),
        shortDescription={"text": title},
        help={"text": text},
        helpUri=advisory_url(finding.id),
        properties=drop_empty(
            **{"security-severity": score},
            precision="very-high",
            tags=["security", "vulnerability", finding.severity.value],
            aliases=[clean(alias) for alias in finding.aliases],
        ),
    )


def _result(finding: Finding, index: int, part: PlatformPart, rules: tuple[str, ...]) -> Document:
    package = finding.package
    level = _LEVELS[finding.severity]
    if part.platform_verdict:
        level = "error" if rules else "note" if level == "note" else "warning"
    waived = part.waived_findings.get(finding)
    identity = "\n".join((finding.id, package.ecosystem, package.name, package.path)).encode(
        "utf-8", "backslashreplace"
    )
    return {
        "ruleId": clean(finding.id),
        "ruleIndex": index,
        "level": level,
        "message": {"text": clean(f"{finding_sentence(finding).rstrip('.')}. {remediation_sentence(finding)}")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": relative_uri(package.path) or ".", "uriBaseId": ROOT},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {"name": clean(package.name), "fullyQualifiedName": clean(package.purl), "kind": "package"}
                ],
            }
        ],
        "partialFingerprints": {"dockgate/v1": hashlib.sha256(identity).hexdigest()},
        **drop_empty(suppressions=[_suppression(waived)] if waived else []),
        "properties": drop_empty(
            severity=finding.severity.value,
            ratedBy=finding.rating.source,
            installed=clean(package.version),
            fixed=clean(finding.fixed),
            state=finding.state.value,
            disputed=finding.disputed or None,
            reachable=finding.reachable,
            malicious=finding.malicious or None,
            knownExploitedSince=finding.exploited,
            due=finding.due,
            epss=finding.epss if finding.epss >= 0 else None,
            epssPercentile=finding.percentile if finding.percentile >= 0 else None,
            layer=package.layer,
            inBase=part.in_base(package),
            breaks=list(rules),
        ),
    }


def _violation_id(violation: "Violation") -> str:
    return f"policy/{clean(violation.rule)}"


def _violation_rule(violation: "Violation") -> Document:
    return {"id": _violation_id(violation), "shortDescription": {"text": f"The policy's rule {clean(violation.rule)}."}}


def _violation(violation: "Violation", level: str, index: int) -> Document:
    """A violation without findings, or a rule's warning or note."""
    return {
        "ruleId": _violation_id(violation),
        "ruleIndex": index,
        "level": level,
        "message": {"text": clean(violation.message)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": ".", "uriBaseId": ROOT}}}],
    }


def _accepted(waived: "AppliedWaiver", index: int) -> Document:
    """An accepted violation without findings."""
    place = {"physicalLocation": {"artifactLocation": {"uri": ".", "uriBaseId": ROOT}}}
    return {
        "ruleId": _ACCEPTED,
        "ruleIndex": index,
        "level": "note",
        "message": {"text": clean(waived.violation)},
        "locations": [place],
        "suppressions": [_suppression(waived)],
    }


def _suppression(waived: "AppliedWaiver") -> Document:
    """A suppression from outside the source (section 3.35.2)."""
    return {"kind": "external", "status": "accepted", "justification": clean(waiver_sentence(waived))}


def _notification(entry: Undetermined, part: PlatformPart) -> Document:
    advice = advice_of(entry, part.manifest) if part.platform_verdict else ""
    return {
        "level": "error",
        "message": {"text": clean(f"{entry.reason} {advice}".rstrip())},
        "descriptor": {"id": f"undetermined/{entry.kind or 'other'}"},
        "properties": drop_empty(subject=clean(entry.subject)),
    }
