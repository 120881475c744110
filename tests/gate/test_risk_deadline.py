"""The deadline of a running image that its policy rejects: the worst violation counts, and CISA's due dates."""

from collections.abc import Sequence

import pytest
from tests.gate.samples import make_package

from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_policy
from dockgate.gate.model import InputDigests, PlatformVerdict, Policy, Status, Verdict, Violation
from dockgate.gate.policy import combine_policies
from dockgate.gate.policy_choice import is_stricter
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.risk_deadline import compute_risk_deadline, find_worst_severity
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Finding, Rating, Severity

NOW = "2026-11-01T00:00:00.000Z"
RATING = Rating("advisory", Severity.LOW)
TIMES = "at_risk: {CRITICAL: 3d, HIGH: 14d, MEDIUM: 12h}\n"


def make_policy(text: str = TIMES) -> Policy:
    return read_policy(f"kind: Policy\nname: p\nrules:\n  {text}", "p.yaml", rules.load())


def make_verdict(*violations: Violation) -> Verdict:
    platform = PlatformVerdict("i", "linux/amd64", Status.REJECTED, {}, violations, (), ())
    return Verdict(
        "i", PolicyReference("p"), Status.REJECTED, "bad", (platform,), InputDigests((), "", "", NOW, "1", "")
    )


def make_violation(*severities: str, exploited_since: str | None = None, due: str | None = None) -> Violation:
    findings: Sequence[Finding] = [
        Finding(
            f"CVE-{number}",
            (),
            make_package("a"),
            Severity(severity),
            RATING,
            "1.0.1",
            exploited=exploited_since,
            due=due,
        )
        for number, severity in enumerate(severities)
    ]
    return Violation("max_findings", "too many", tuple(findings))


@pytest.mark.parametrize(
    ("violations", "expected"),
    [
        ([make_violation("HIGH")], "2026-11-15"),
        ([make_violation("HIGH", "CRITICAL")], "2026-11-04"),
        ([make_violation("HIGH"), make_violation("CRITICAL")], "2026-11-04"),
        ([make_violation("LOW")], "2026-12-01"),
        ([make_violation("UNTRIAGED")], "2026-11-15"),
        ([Violation("runs_as_root", "root")], "2026-12-01"),
        ([], "2026-12-01"),
        ([make_violation("HIGH", exploited_since="2026-10-01", due="2026-11-08")], "2026-11-09"),
        ([make_violation("CRITICAL", exploited_since="2026-10-01", due="2026-11-08")], "2026-11-04"),
        ([make_violation("HIGH", exploited_since="2021-12-10", due="2021-12-24")], "2026-11-15"),
        ([make_violation("HIGH", due="2026-11-08")], "2026-11-15"),
    ],
)
def test_the_worst_violation_counts(violations: list[Violation], expected: str) -> None:
    assert compute_risk_deadline(make_verdict(*violations), make_policy(), 30)[:10] == expected


def test_a_time_in_hours() -> None:
    assert (
        compute_risk_deadline(make_verdict(make_violation("MEDIUM")), make_policy(), 30) == "2026-11-01T12:00:00.000Z"
    )


def test_without_the_rule_the_default_counts() -> None:
    assert (
        compute_risk_deadline(make_verdict(make_violation("CRITICAL")), make_policy("exploited: {}\n"), 14)[:10]
        == "2026-11-15"
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("at_risk: {}\n", "no time is set"),
        ("at_risk: {SEVERE: 3d}\n", "unknown key"),
        ("at_risk: {HIGH: 30m}\n", "a time from 1h to 365d"),
        ("at_risk: {HIGH: 366d}\n", "a time from 1h to 365d"),
        ("at_risk: {HIGH: 0d}\n", "a time from 1h to 365d"),
        ("at_risk: {HIGH: 14}\n", "a time from 1h to 365d"),
        ("at_risk: {HIGH: true}\n", "a time from 1h to 365d"),
    ],
)
def test_an_invalid_time_is_refused(setting: str, expected: str) -> None:
    with pytest.raises(DefinitionError, match=expected):
        make_policy(setting)


@pytest.mark.parametrize("server", ["at_risk: {HIGH: 3d}\n", "at_risk: {CRITICAL: 3d, LOW: 100d}\n", "malicious: {}\n"])
@pytest.mark.parametrize("severity", list(Severity))
def test_what_a_repository_requires_lengthens_no_deadline(server: str, severity: Severity) -> None:
    """Also not for a severity that has the server's default: its time is in no policy."""
    own_policy, verdict_of_severity = make_policy(server), make_verdict(make_violation(severity))
    for days in ("365d", "1h"):
        times = ", ".join(f"{severity}: {days}" for severity in Severity)
        both = combine_policies(own_policy, make_policy(f"at_risk: {{{times}}}\n"))
        assert compute_risk_deadline(verdict_of_severity, both, 14) <= compute_risk_deadline(
            verdict_of_severity, own_policy, 14
        )
    assert combine_policies(own_policy, make_policy("at_risk: {MEDIUM: 365d}\n")).rules == own_policy.rules


def test_a_repository_can_shorten_the_deadlines_of_its_policy() -> None:
    both = combine_policies(make_policy(), make_policy("at_risk: {HIGH: 1d, CRITICAL: 30d}\n"))
    assert compute_risk_deadline(make_verdict(make_violation("HIGH")), both, 14)[:10] == "2026-11-02"
    assert compute_risk_deadline(make_verdict(make_violation("CRITICAL")), both, 14)[:10] == "2026-11-04"


def test_a_policy_with_other_deadlines_is_not_provably_stricter() -> None:
    own_policy = make_policy("at_risk: {HIGH: 3d}\n")
    assert is_stricter(make_policy("at_risk: {HIGH: 1d}\n"), own_policy)
    assert not is_stricter(make_policy("at_risk: [{HIGH: 3d}, {CRITICAL: 365d}]\n"), own_policy)
    assert not is_stricter(make_policy(), make_policy("malicious: {}\n"))


def test_the_worst_severity_of_all_violations_counts_and_untriaged_as_high() -> None:
    assert find_worst_severity([]) is None
    assert find_worst_severity([make_verdict(Violation("runs_as_root", "root"))]) is None
    assert find_worst_severity([make_verdict(make_violation("LOW", "UNTRIAGED"))]) is Severity.HIGH
    both = [make_verdict(make_violation("HIGH")), make_verdict(make_violation("LOW", "CRITICAL"))]
    assert find_worst_severity(both) is Severity.CRITICAL
