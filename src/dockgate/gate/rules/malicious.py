"""No known malicious packages: OSV's `MAL-` records, from the OpenSSF's malicious-packages."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Rule, RuleInput
from dockgate.gate.rules._settings import require_known_keys


class Malicious(Rule):
    """Holds under every policy, without settings."""

    name = "malicious"
    mandatory_settings: Mapping[str, object] | None = {}
    schema: Mapping[str, Any] = {"properties": {}}

    def settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ())
        return {}

    def judge(self, facts: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation]:
        findings = tuple(finding for finding in facts.matches.findings if finding.malicious)
        if findings:
            packages = len({(finding.package.purl, finding.package.path) for finding in findings})
            message = f"{packages} known malicious package{'s' if packages != 1 else ''}"
            yield Violation(self.name, message, findings, allowed=0)


RULE: Rule = Malicious()
