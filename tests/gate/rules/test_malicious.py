from tests.gate.samples import NOW, make_inventory, make_package

from dockgate.gate.model import Violation
from dockgate.gate.rule import RuleInput
from dockgate.gate.rules.malicious import RULE
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity


def make_finding(identity: str, *aliases: str, name: str = "a") -> Finding:
    return Finding(identity, aliases, make_package(name), Severity.UNTRIAGED, Rating(None, Severity.UNTRIAGED), None)


def judge(*findings: Finding) -> list[object]:
    return list(
        RULE.judge(
            RuleInput(make_inventory(make_package("a")), Matches(findings, ()), (), NOW), RULE.parse_settings({})
        )
    )


def test_a_known_malicious_package_is_a_violation_whatever_its_severity_or_fix() -> None:
    bad = make_finding("MAL-2024-1")
    assert judge(bad, make_finding("CVE-2024-1")) == [
        Violation("malicious", "1 known malicious package", (bad,), allowed=0)
    ]


def test_any_of_its_names_is_enough_and_packages_are_counted_once() -> None:
    bad = make_finding("GHSA-x", "MAL-2024-1"), make_finding("MAL-2024-2"), make_finding("MAL-2024-2", name="b")
    assert judge(*bad) == [Violation("malicious", "2 known malicious packages", bad, allowed=0)]


def test_the_rule_holds_under_every_policy() -> None:
    assert RULE.mandatory_settings == {}
