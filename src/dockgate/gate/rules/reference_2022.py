"""The thresholds of the 2022 reference solution, with the same verdicts.

Its function rejects when `count != 0 and count >= threshold`, so 0 and 1 mean the same. The first of critical, high and
medium that reaches its threshold decides, with this message. Every finding counts, with or without a fix. The reference
configures a threshold for low and never reads it: here it warns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dockgate.gate.model import NonBlockingViolation, RuleAction, Status, Violation
from dockgate.gate.policy import REFERENCE_RULE
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, RuleOutcomes, TimelessRule
from dockgate.gate.rules._settings import read_whole_number, require_known_keys
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Severity

_DECIDING = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
_THRESHOLDS = {Severity.CRITICAL: 0, Severity.HIGH: 0, Severity.MEDIUM: 10, Severity.LOW: 15}


class Reference2022(TimelessRule):
    """Settings: a threshold for CRITICAL (0), HIGH (0), MEDIUM (10) and LOW (15)."""

    name = REFERENCE_RULE
    dependency = RuleDependency.FINDING_SUMS
    schema: Mapping[str, Any] = {
        "properties": {severity.value: {"type": "integer", "minimum": 0} for severity in _THRESHOLDS}
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, [severity.value for severity in _THRESHOLDS])
        return {
            severity.value: read_whole_number(severity.value, raw.get(severity.value, default), minimum=0)
            for severity, default in _THRESHOLDS.items()
        }

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        limits = {severity: int(str(settings[severity.value])) for severity in _THRESHOLDS}
        return [
            f"{_describe_limit(limits[severity], severity)}."
            + ("" if severity in _DECIDING else " Otherwise there is a warning.")
            for severity in limits
        ]

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> RuleOutcomes:
        for severity in _DECIDING:
            if violation := self._find_violation(severity, rule_input, settings):
                yield violation
                break
        if low := self._find_violation(Severity.LOW, rule_input, settings):
            yield NonBlockingViolation(RuleAction.WARN, low)

    @override
    def count(self, rule_input: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        severities = [finding.severity for finding in rule_input.matches.findings]
        return tuple(severities.count(severity) for severity in _DECIDING)

    @override
    def judge_counts(self, counts: Sequence[int], rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
        reached_limits = (
            _is_reached(count, severity, settings) for severity, count in zip(_DECIDING, counts, strict=True)
        )
        return Status.REJECTED if any(reached_limits) else Status.APPROVED

    def _find_violation(
        self, severity: Severity, rule_input: RuleInput, settings: Mapping[str, object]
    ) -> Violation | None:
        findings = tuple(finding for finding in rule_input.matches.findings if finding.severity is severity)
        count = len(findings) + rule_input.unlisted_counts.get(severity.value, 0)
        if not _is_reached(count, severity, settings):
            return None
        message = f"{severity.value.capitalize()} vulnerability threshold of {settings[severity.value]} exceeded"
        return Violation(self.name, message, findings)


RULE: Rule = Reference2022()


def _describe_limit(threshold: int, severity: Severity) -> str:
    return f"Fewer than {threshold} {severity} findings" if threshold > 1 else f"No {severity} finding"


def _is_reached(count: int, severity: Severity, settings: Mapping[str, object]) -> bool:
    return count != 0 and count >= int(str(settings[severity.value]))
