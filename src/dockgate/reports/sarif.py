"""SARIF 2.1.0 (OASIS Standard, Errata 01), for code scanning: a run a platform, a result a finding.

In a verdict `level` "error" means that the finding breaks the policy; in a scan the level is by severity. What cannot
be said is a notification of the invocation, which then was not successful. Paths are relative to the image's root.
"""

import hashlib
from typing import TYPE_CHECKING, TextIO

from dockgate.gate.next_steps import advice_of
from dockgate.reports import GateReport, Report, ScanReport
from dockgate.reports._clean import clean
from dockgate.reports._document import Document, given, write
from dockgate.reports._parts import TOOL, VERSION, Part, Whole, link, remediation, sentence, uri, waiver, whole
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
# `security-severity`, by which code scanning sorts, where only a word is known: the middle of CVSS' band.
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
    Severity.INFORMATIONAL: "0.0",
}


class Sarif:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        _write(whole(report), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        _write(whole(report), out)


REPORT: Report = Sarif()


def _write(report: Whole, out: TextIO) -> None:
    runs = [_run(report, part) for part in report.parts]
    write({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, out)


def _run(report: Whole, part: Part) -> Document:
    rules = {finding.id: _rule(finding) for finding in reversed(part.findings)}
    bare = (
        [("error", one) for one in part.platform_verdict.violations if not one.findings]
        if part.platform_verdict
        else []
    )
    bare += [(level, one) for level, told in part.asides for one in told]
    rules |= {_violation_id(violation): _violation_rule(violation) for _, violation in bare}
    if part.accepted:
        rules[_ACCEPTED] = {"id": _ACCEPTED, "shortDescription": {"text": "What breaks the policy, and was accepted."}}
    index = {identity: number for number, identity in enumerate(rules)}
    breaking = part.breaking
    return {
        "tool": {"driver": {"name": TOOL, "semanticVersion": VERSION, "rules": list(rules.values())}},
        "automationDetails": {"id": clean(f"dockgate/{report.reference}/{part.platform}/")},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the image's file system."}}},
        "invocations": [
            {
                "executionSuccessful": not part.doubts,
                "endTimeUtc": report.now,
                "toolExecutionNotifications": [_notification(doubt, part) for doubt in part.doubts],
            }
        ],
        "results": [
            *(_result(one, index[one.id], part, breaking.get(one, ())) for one in part.findings),
            *(_violation(one, level, index[_violation_id(one)]) for level, one in bare),
            *(_accepted(one, index[_ACCEPTED]) for one in part.accepted),
        ],
        "properties": _properties(report, part),
    }


def _properties(report: Whole, part: Part) -> Document:
    verdict = report.verdict
    return given(
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
    text = f"{title}\n\nSeverity: {finding.severity}\n{clean(remediation(finding))}"
    return given(
        id=clean(finding.id),
        shortDescription={"text": title},
        help={"text": text},
        helpUri=link(finding.id),
        properties=given(
            **{"security-severity": score},
            precision="very-high",
            tags=["security", "vulnerability", finding.severity.value],
            aliases=[clean(alias) for alias in finding.aliases],
        ),
    )


def _result(finding: Finding, index: int, part: Part, rules: tuple[str, ...]) -> Document:
    package = finding.package
    level = _LEVELS[finding.severity]
    if part.platform_verdict:
        level = "error" if rules else "note" if level == "note" else "warning"
    waived = part.waived.get(finding)
    identity = "\n".join((finding.id, package.ecosystem, package.name, package.path)).encode(
        "utf-8", "backslashreplace"
    )
    return {
        "ruleId": clean(finding.id),
        "ruleIndex": index,
        "level": level,
        "message": {"text": clean(f"{sentence(finding).rstrip('.')}. {remediation(finding)}")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri(package.path) or ".", "uriBaseId": ROOT},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {"name": clean(package.name), "fullyQualifiedName": clean(package.purl), "kind": "package"}
                ],
            }
        ],
        "partialFingerprints": {"dockgate/v1": hashlib.sha256(identity).hexdigest()},
        **given(suppressions=[_suppression(waived)] if waived else []),
        "properties": given(
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
    """A violation that no finding stands for, or a rule's warning or note."""
    return {
        "ruleId": _violation_id(violation),
        "ruleIndex": index,
        "level": level,
        "message": {"text": clean(violation.message)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": ".", "uriBaseId": ROOT}}}],
    }


def _accepted(one: "AppliedWaiver", index: int) -> Document:
    """A violation that no finding stands for, and that was accepted."""
    place = {"physicalLocation": {"artifactLocation": {"uri": ".", "uriBaseId": ROOT}}}
    return {
        "ruleId": _ACCEPTED,
        "ruleIndex": index,
        "level": "note",
        "message": {"text": clean(one.violation)},
        "locations": [place],
        "suppressions": [_suppression(one)],
    }


def _suppression(one: "AppliedWaiver") -> Document:
    """Not by a comment in the source, but from outside (section 3.35.2)."""
    return {"kind": "external", "status": "accepted", "justification": clean(waiver(one))}


def _notification(doubt: Undetermined, part: Part) -> Document:
    advice = advice_of(doubt, part.manifest) if part.platform_verdict else ""
    return {
        "level": "error",
        "message": {"text": clean(f"{doubt.reason} {advice}".rstrip())},
        "descriptor": {"id": f"undetermined/{doubt.kind or 'other'}"},
        "properties": given(subject=clean(doubt.subject)),
    }
