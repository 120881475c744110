"""The deadline for replacing a running image that its policy rejects. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from dockgate.gate.model import Policy, Verdict
from dockgate.gate.policy import RISK_RULE
from dockgate.shared.timestamps import format_time, parse_time, to_datetime
from dockgate.vulnerabilities.model import Finding, Severity

_SEVERITIES = list(Severity)


def compute_risk_deadline(verdict: Verdict, policy: Policy, default_days: float) -> str:
    """Return the time until which the image has to be replaced (RFC 3339), from when the verdict was made.

    Each violation has the time that the policy's rule `at_risk` gives for the worst of its findings, or `default_days`.
    A known exploited vulnerability has CISA's due date if that is earlier and still to come. The earliest counts.
    """
    start, default = to_datetime(verdict.inputs.now), timedelta(days=default_days)
    violations = [violation for platform in verdict.platform_verdicts for violation in platform.violations]
    times = [
        _compute_deadline(finding, policy, start, default) for violation in violations for finding in violation.findings
    ]
    if not all(violation.findings for violation in violations):
        times.append(start + default)
    return format_time(min(times, default=start + default))


def list_most_urgent_findings(verdict: Verdict, policy: Policy, default_days: float) -> list[Finding]:
    """Return a finding of each vulnerability that violates the policy, by the deadline of each.

    Of the same deadline, the worst is first.
    """
    start, default = to_datetime(verdict.inputs.now), timedelta(days=default_days)
    violations = (violation for platform in verdict.platform_verdicts for violation in platform.violations)
    findings = sorted(
        (finding for violation in violations for finding in violation.findings),
        key=lambda finding: (
            _compute_deadline(finding, policy, start, default),
            _SEVERITIES.index(finding.severity),
            finding.id,
        ),
    )
    return list({finding.id: finding for finding in reversed(findings)}.values())[::-1]


def find_worst_severity(verdicts: Iterable[Verdict]) -> Severity | None:
    """Return the severity of the worst finding that violates a policy, None if none does.

    UNTRIAGED counts as HIGH.
    """
    platforms = (platform for verdict in verdicts for platform in verdict.platform_verdicts)
    violations = (violation for platform in platforms for violation in platform.violations)
    severities = {finding.severity for violation in violations for finding in violation.findings}
    known_severities = {Severity.HIGH if severity is Severity.UNTRIAGED else severity for severity in severities}
    return min(known_severities, key=lambda severity: severity.rank, default=None)


def _compute_deadline(finding: Finding, policy: Policy, start: datetime, default: timedelta) -> datetime:
    deadline = start + (_find_time_limit(finding, policy) or default)
    due = parse_time(finding.due) if finding.exploited else None
    if due is not None and due + timedelta(days=1) > start:  # the day itself is in time
        return min(deadline, due + timedelta(days=1))
    return deadline


def _find_time_limit(finding: Finding, policy: Policy) -> timedelta | None:
    """The time that the policy gives for a finding, None where it gives none. UNTRIAGED counts as HIGH."""
    severity = finding.severity
    uses = policy.rules.get(RISK_RULE, ())
    seconds = [use[severity] for use in uses if severity in use]
    if not seconds and severity is Severity.UNTRIAGED:
        seconds = [use[Severity.HIGH] for use in uses if Severity.HIGH in use]
    return timedelta(seconds=min(int(str(value)) for value in seconds)) if seconds else None
