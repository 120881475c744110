"""Sum up a verdict in one line for people. Pure."""

from collections.abc import Sequence

from dockgate.gate.model import PlatformVerdict, Policy, Status, worst
from dockgate.gate.policy import REFERENCE_APPROVED, REFERENCE_RULE
from dockgate.shared.wording import shorten

# In characters: the limit of `summary` in CodePipeline's PutApprovalResult, kept so that one answer fits everywhere.
SUMMARY_LIMIT = 512
_PACKAGE_LIMIT = 8


def summarize(verdicts: Sequence[PlatformVerdict], policy: Policy) -> str:
    """Say in one line why the worst platforms have their status."""
    status = worst([verdict.status for verdict in verdicts])
    if status is Status.APPROVED:
        approved = REFERENCE_APPROVED if REFERENCE_RULE in policy.rules else "All findings within the policy's limits"
        return "; ".join(filter(None, (approved, count_waived(verdicts))))
    platforms: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.status is status:
            platforms.setdefault(_reasons(verdict), []).append(verdict.label)
    if len(verdicts) == 1:
        return shorten("; ".join(platforms), SUMMARY_LIMIT)
    texts = (": ".join(filter(None, (", ".join(names), text))) for text, names in platforms.items())
    return shorten("; ".join(texts), SUMMARY_LIMIT)


def count_waived(verdicts: Sequence[PlatformVerdict]) -> str | None:
    """Count what is waived: "5 waived findings, 1 finding excused by VEX"; None if nothing is.

    A finding that several platforms share is counted once.
    """
    waived = [applied for verdict in verdicts for applied in verdict.waived]
    findings = [
        (applied.kind == "vex", applied.finding.id, applied.finding.package.purl)
        for applied in waived
        if applied.finding
    ]
    by_waiver, by_vex = (len({key for key in findings if key[0] is vex}) for vex in (False, True))
    unread = len({applied.unread for applied in waived if applied.unread})
    violations = len({applied.violation for applied in waived if not (applied.finding or applied.unread)})
    parts = [
        f"{by_waiver} waived finding{'s' * (by_waiver != 1)}" if by_waiver else "",
        f"{by_vex} finding{'s' * (by_vex != 1)} excused by VEX" if by_vex else "",
        f"{violations} waived violation{'s' * (violations != 1)}" if violations else "",
        f"{unread} accepted unread path{'s' * (unread != 1)}" if unread else "",
    ]
    return ", ".join(filter(None, parts)) or None


def _reasons(verdict: PlatformVerdict) -> str:
    if verdict.status is Status.UNDETERMINED:
        first, *rest = verdict.undetermined
        more = f" (and {len(rest)} more {'reason' if len(rest) == 1 else 'reasons'})" if rest else ""
        return f"Undetermined: {first.reason}{more}"
    messages = "; ".join(violation.message for violation in verdict.violations)
    violations = [violation for violation in verdict.violations if violation.rule != REFERENCE_RULE]
    packages = [finding.package for violation in violations for finding in violation.findings]
    names = list(dict.fromkeys(f"{package.name} {package.version}" for package in packages))
    if not names:
        return messages
    more = f" and {len(names) - _PACKAGE_LIMIT} more" if len(names) > _PACKAGE_LIMIT else ""
    return f"{messages}: {', '.join(names[:_PACKAGE_LIMIT])}{more}"
