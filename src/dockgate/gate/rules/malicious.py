"""No known malicious packages: OSV's `MAL-` records, from the OpenSSF's malicious-packages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dockgate.gate.model import Status, Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, TimelessRule
from dockgate.gate.rules._settings import require_known_keys
from dockgate.shared.interfaces import override


class Malicious(TimelessRule):
    """A part of every policy, without settings."""

    name = "malicious"
    mandatory_settings: Mapping[str, object] | None = {}
    dependency = RuleDependency.FINDING_SUMS
    schema: Mapping[str, Any] = {"properties": {}}

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ())
        return {}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        return ("No package that is known to be malicious.",)

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation]:
        findings = tuple(finding for finding in rule_input.matches.findings if finding.is_malicious)
        if findings:
            package_count = len({(finding.package.purl, finding.package.path) for finding in findings})
            message = f"{package_count} known malicious package{'s' if package_count != 1 else ''}"
            yield Violation(self.name, message, findings, allowed=0)

    @override
    def count(self, rule_input: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        return (sum(finding.is_malicious for finding in rule_input.matches.findings),)

    @override
    def judge_counts(self, counts: Sequence[int], rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
        return Status.REJECTED if any(counts) else Status.APPROVED


RULE: Rule = Malicious()
