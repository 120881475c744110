"""Sum up a verdict in one line for people. Pure."""

from collections.abc import Sequence

from dockgate.gate.model import PlatformVerdict, Policy, Status, select_worst_status
from dockgate.gate.policy import REFERENCE_APPROVED, REFERENCE_RULE
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.wording import shorten_text
from dockgate.vulnerabilities.model import Finding

# In characters: the limit of `summary` in CodePipeline's PutApprovalResult, kept so that one answer fits everywhere.
SUMMARY_LIMIT = 512
_PACKAGE_LIMIT = 5


def summarize(verdicts: Sequence[PlatformVerdict], policy: Policy) -> str:
    """Say in one line why the worst platforms have their status."""
    status = select_worst_status([verdict.status for verdict in verdicts])
    if status is Status.APPROVED:
        approved_text = (
            REFERENCE_APPROVED if REFERENCE_RULE in policy.rules else "All findings within the policy's limits"
        )
        return "; ".join(filter(None, (approved_text, count_waived(verdicts))))
    platforms: dict[str, list[str | None]] = {}
    for verdict in verdicts:
        if verdict.status is status:
            platforms.setdefault(_describe_reasons(verdict), []).append(verdict.label)
    if len(verdicts) == 1:
        return shorten_text("; ".join(platforms), SUMMARY_LIMIT)
    texts = (": ".join(filter(None, (", ".join(filter(None, names)), text))) for text, names in platforms.items())
    return shorten_text("; ".join(texts), SUMMARY_LIMIT)


def name_policy(policy: PolicyReference, summary: str) -> str:
    """Return a verdict's summary with the policy's name, since other policies may have other verdicts."""
    return f"policy {policy.label}: {summary}"


def count_waived(verdicts: Sequence[PlatformVerdict]) -> str | None:
    """Count what is waived: "5 waived findings, 1 finding excused by VEX"; None if nothing is.

    A finding that several platforms share is counted once.
    """
    applied_waivers = [waiver for verdict in verdicts for waiver in verdict.waived]
    findings = [
        (waiver.kind == "vex", waiver.finding.id, waiver.finding.package.purl)
        for waiver in applied_waivers
        if waiver.finding
    ]
    by_waiver, by_vex = (len({key for key in findings if key[0] is vex}) for vex in (False, True))
    unread_count = len({waiver.unread for waiver in applied_waivers if waiver.unread})
    violation_count = len({waiver.violation for waiver in applied_waivers if not (waiver.finding or waiver.unread)})
    parts = [
        f"{by_waiver} waived finding{'s' * (by_waiver != 1)}" if by_waiver else "",
        f"{by_vex} finding{'s' * (by_vex != 1)} excused by VEX" if by_vex else "",
        f"{violation_count} waived violation{'s' * (violation_count != 1)}" if violation_count else "",
        f"{unread_count} accepted unread path{'s' * (unread_count != 1)}" if unread_count else "",
    ]
    return ", ".join(filter(None, parts)) or None


def _describe_reasons(verdict: PlatformVerdict) -> str:
    if verdict.status is Status.UNDETERMINED:
        first, *other_entries = verdict.undetermined
        if not other_entries:
            return verdict.status.make_summary(first.reason)
        count = f"{len(other_entries)} more {'reason' if len(other_entries) == 1 else 'reasons'}"
        return verdict.status.make_summary(f"{first.reason.removesuffix('.')} (and {count})")
    messages = "; ".join(violation.message for violation in verdict.violations)
    violations = [violation for violation in verdict.violations if violation.rule != REFERENCE_RULE]
    packages: dict[str, dict[str, Finding]] = {}
    for finding in (finding for violation in violations for finding in violation.findings):
        packages.setdefault(f"{finding.package.name} {finding.package.version}", {}).setdefault(finding.id, finding)
    if not packages:
        return messages
    package_texts = [
        f"{name} ({_describe_most_severe(list(findings.values()))})" for name, findings in packages.items()
    ]
    package_omission = f" and {len(package_texts) - _PACKAGE_LIMIT} more" if len(package_texts) > _PACKAGE_LIMIT else ""
    return f"{messages}: {', '.join(package_texts[:_PACKAGE_LIMIT])}{package_omission}"


def _describe_most_severe(findings: Sequence[Finding]) -> str:
    """The most severe vulnerability with the version that fixes it, and how many others there are."""
    first = min(findings, key=lambda finding: finding.severity.rank)
    fix = f" fixed in {first.fixed}" if first.fixed else " without a fix"
    return f"{first.id}{fix}" + (f" and {len(findings) - 1} more" if len(findings) > 1 else "")
