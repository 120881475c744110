"""The deadline for replacing a running image that its policy rejects. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from dockgate.gate.model import Policy, Verdict, Violation
from dockgate.gate.policy import RISK_RULE
from dockgate.shared.timestamps import format_time, parse_time, to_datetime
from dockgate.vulnerabilities.model import Finding, Severity


def risk_deadline(verdict: Verdict, policy: Policy, default_days: float) -> str:
    """Return the time until which the image has to be replaced (RFC 3339), from when the verdict was made.

    Each violation has the time that the policy's rule `at_risk` gives for the worst of its findings, or `default_days`.
    A known exploited vulnerability has CISA's due date if that is earlier and still to come. The earliest counts.
    """
    start = to_datetime(verdict.inputs.now)
    violations = [violation for platform in verdict.platform_verdicts for violation in platform.violations]
    times = [time for violation in violations for time in _times(violation, policy, start, default_days)]
    return format_time(min(times, default=start + timedelta(days=default_days)))


def _times(violation: Violation, policy: Policy, start: datetime, default_days: float) -> Iterator[datetime]:
    default = timedelta(days=default_days)
    yield start + min((_time_of(finding, policy) or default for finding in violation.findings), default=default)
    for finding in violation.findings:
        due = parse_time(finding.due) if finding.exploited else None
        if due is not None and due + timedelta(days=1) > start:  # the day itself is in time
            yield due + timedelta(days=1)


def _time_of(finding: Finding, policy: Policy) -> timedelta | None:
    """The time that the policy gives for a finding, None where it gives none. UNTRIAGED counts as HIGH."""
    severity = finding.severity
    uses = policy.rules.get(RISK_RULE, ())
    seconds = [use[severity] for use in uses if severity in use]
    if not seconds and severity is Severity.UNTRIAGED:
        seconds = [use[Severity.HIGH] for use in uses if Severity.HIGH in use]
    return timedelta(seconds=min(int(str(value)) for value in seconds)) if seconds else None
