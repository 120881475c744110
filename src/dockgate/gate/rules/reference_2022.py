"""The rule of the reference solution of 2022, so that its users get the same answers.

From its function: `count != 0 and count >= threshold`, so that 0 and 1 mean the same; the first of critical, high and
medium that is so decides, in these words; every finding counts, whether it can be mended or not. There, low is
configured and never read: here it warns.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.policy import REFERENCE_RULE
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import known, whole
from dockgate.vulnerabilities.model import Finding, Severity, Undetermined

_DECIDING = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
_THRESHOLDS = {Severity.CRITICAL: 0, Severity.HIGH: 0, Severity.MEDIUM: 10, Severity.LOW: 15}


class Reference2022:
    """Settings: a threshold for CRITICAL (0), HIGH (0), MEDIUM (10) and LOW (15). "At least", and not 0."""

    name = REFERENCE_RULE
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {severity.value: {"type": "integer", "minimum": 0} for severity in _THRESHOLDS}
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, [severity.value for severity in _THRESHOLDS])
        return {
            severity.value: whole(severity.value, given.get(severity.value, usual), least=0)
            for severity, usual in _THRESHOLDS.items()
        }

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(
        self, facts: Facts, settings: Mapping[str, object]
    ) -> Iterator[Violation | Undetermined | NonBlockingViolation]:
        for severity in _DECIDING:
            if violation := self._violation(severity, facts, settings):
                yield violation
                break
        if low := self._violation(Severity.LOW, facts, settings):
            yield NonBlockingViolation(RuleAction.WARN, low)

    def _violation(self, severity: Severity, facts: Facts, settings: Mapping[str, object]) -> Violation | None:
        found: list[Finding] = [one for one in facts.matches.findings if one.severity is severity]
        count, threshold = len(found) + facts.unnamed.get(severity.value, 0), int(str(settings[severity.value]))
        if count == 0 or count < threshold:
            return None
        words = f"{severity.value.capitalize()} vulnerability threshold of {threshold} exceeded"
        return Violation(self.name, words, tuple(found))


RULE: Rule = Reference2022()
