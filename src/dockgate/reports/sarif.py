"""SARIF 2.1.0 (OASIS Standard, Errata 01), for code scanning.

One run per platform, one result per finding.

Of a verdict, `level` "error" means that the finding breaks the policy; of a scan, the level follows the severity.
Undetermined entries are notifications of an invocation that was not successful. Paths are relative to the image's root.
"""

import hashlib
from typing import TYPE_CHECKING, TextIO

from dockgate.gate.next_steps import describe_next_steps
from dockgate.reports import Report
from dockgate.reports import _wording as wording
from dockgate.reports._document import Document, drop_empty, write
from dockgate.reports._image_report import TOOL, VERSION, ImageFormat, ImageReport, PlatformPart, format_relative_uri
from dockgate.shared.escaping import clean_text
from dockgate.vulnerabilities.model import Finding, Severity, UndeterminedFact

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedExemption, Violation

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "IMAGE"
_ACCEPTED_RULE = "policy/accepted"

# The level, and for findings without a score `security-severity`, by which code scanning sorts: the middle of the CVSS
# range.
_SEVERITIES: dict[Severity, tuple[str, str | None]] = {
    Severity.CRITICAL: ("error", "9.5"),
    Severity.HIGH: ("error", "8.0"),
    Severity.MEDIUM: ("warning", "5.5"),
    Severity.LOW: ("note", "2.0"),
    Severity.INFORMATIONAL: ("note", "0.0"),
    Severity.UNTRIAGED: ("warning", None),
}


def _write(report: ImageReport, output: TextIO) -> None:
    runs = [_describe_run(report, part) for part in report.parts]
    write({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, output)


REPORT: Report = ImageFormat(_write)


def _describe_run(report: ImageReport, part: PlatformPart) -> Document:
    rules = {finding.id: _build_rule(finding) for finding in reversed(part.findings)}
    violations = part.platform_verdict.violations if part.platform_verdict else ()
    without_findings = [("error", violation) for violation in violations if not violation.findings]
    without_findings += [(level, violation) for level, violations in part.non_blocking for violation in violations]
    for _, violation in without_findings:
        identity = _make_violation_id(violation)
        text = f"The policy's rule {clean_text(violation.rule)}."
        rules[identity] = {"id": identity, "shortDescription": {"text": text}}
    if part.waived_violations:
        rules[_ACCEPTED_RULE] = {
            "id": _ACCEPTED_RULE,
            "shortDescription": {"text": "An accepted violation of the policy."},
        }
    index = {identity: number for number, identity in enumerate(rules)}
    broken_rules = part.broken_rules
    return {
        "tool": {"driver": {"name": TOOL, "semanticVersion": VERSION, "rules": list(rules.values())}},
        "automationDetails": {"id": clean_text(f"dockgate/{report.reference}/{part.platform or ''}/")},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the image's file system."}}},
        "invocations": [
            {
                "executionSuccessful": not part.undetermined,
                "endTimeUtc": report.created_at,
                "toolExecutionNotifications": [_build_notification(entry, part) for entry in part.undetermined],
            }
        ],
        "results": [
            *(
                _build_result(finding, index[finding.id], part, broken_rules.get(finding, ()))
                for finding in part.findings
            ),
            *(
                _build_violation(identity, violation.message, level, index[identity])
                for level, violation in without_findings
                for identity in [_make_violation_id(violation)]
            ),
            *(
                {
                    **_build_violation(_ACCEPTED_RULE, waived_violation.violation or "", "note", index[_ACCEPTED_RULE]),
                    "suppressions": [_build_suppression(waived_violation)],
                }
                for waived_violation in part.waived_violations
            ),
        ],
        "properties": _build_properties(report, part),
    }


def _build_properties(report: ImageReport, part: PlatformPart) -> Document:
    verdict = report.verdict
    return drop_empty(
        reference=clean_text(report.reference),
        digest=report.digest,
        platform=clean_text(part.platform or ""),
        manifest=part.manifest,
        policy=clean_text(verdict.policy) if verdict else "",
        status=part.platform_verdict.status.value if part.platform_verdict else "",
    )


def _build_rule(finding: Finding) -> Document:
    title = clean_text((finding.summary or "").strip()) or f"{finding.id} in {clean_text(finding.package.source_name)}"
    score = f"{finding.rating.score:.1f}" if finding.rating.score is not None else _SEVERITIES[finding.severity][1]
    text = f"{title}\n\nSeverity: {finding.severity}\n{clean_text(wording.describe_remediation(finding))}"
    return drop_empty(
        id=clean_text(finding.id),
        shortDescription={"text": title},
        help={"text": text},
        helpUri=wording.build_advisory_url(finding.id),
        properties=drop_empty(
            **{"security-severity": score},
            precision="very-high",
            tags=["security", "vulnerability", finding.severity.value],
            aliases=[clean_text(alias) for alias in finding.aliases],
        ),
    )


def _build_result(finding: Finding, index: int, part: PlatformPart, rules: tuple[str, ...]) -> Document:
    package = finding.package
    level, _ = _SEVERITIES[finding.severity]
    if part.platform_verdict:
        level = "error" if rules else "note" if level == "note" else "warning"
    waiver = part.waived_findings.get(finding)
    identity = "\n".join((finding.id, package.ecosystem, package.name, package.path))
    fingerprint = hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()
    return {
        "ruleId": clean_text(finding.id),
        "ruleIndex": index,
        "level": level,
        "message": {
            "text": clean_text(
                f"{wording.describe_finding(finding).rstrip('.')}. {wording.describe_remediation(finding)}"
            )
        },
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": format_relative_uri(package.path) or ".", "uriBaseId": ROOT},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {
                        "name": clean_text(package.name),
                        "fullyQualifiedName": clean_text(package.purl),
                        "kind": "package",
                    }
                ],
            }
        ],
        "partialFingerprints": {"dockgate/v1": fingerprint},
        **drop_empty(suppressions=[_build_suppression(waiver)] if waiver else []),
        "properties": drop_empty(
            severity=finding.severity.value,
            ratedBy=finding.rating.source,
            installed=clean_text(package.version),
            fixed=clean_text(finding.fixed or ""),
            state=finding.state.value,
            disputed=finding.is_disputed or None,
            reachable=finding.reachable,
            malicious=finding.is_malicious or None,
            knownExploitedSince=finding.exploited,
            due=finding.due,
            epss=finding.epss,
            epssPercentile=finding.percentile,
            layer=package.layer,
            inBase=part.is_in_base(package),
            breaks=list(rules),
        ),
    }


def _make_violation_id(violation: "Violation") -> str:
    return f"policy/{clean_text(violation.rule)}"


def _build_violation(identity: str, message: str, level: str, index: int) -> Document:
    """A result without findings: a violation, a rule's warning or note, or an accepted violation."""
    return {
        "ruleId": identity,
        "ruleIndex": index,
        "level": level,
        "message": {"text": clean_text(message)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": ".", "uriBaseId": ROOT}}}],
    }


def _build_suppression(waiver: "AppliedExemption") -> Document:
    """A suppression from outside the source (section 3.35.2)."""
    return {"kind": "external", "status": "accepted", "justification": clean_text(wording.describe_waiver(waiver))}


def _build_notification(entry: UndeterminedFact, part: PlatformPart) -> Document:
    advice = describe_next_steps(entry, part.manifest) if part.platform_verdict else ""
    return {
        "level": "error",
        "message": {"text": clean_text(f"{entry.reason} {advice}".rstrip())},
        "descriptor": {"id": f"undetermined/{entry.kind or 'other'}"},
        "properties": drop_empty(subject=clean_text(entry.subject)),
    }
