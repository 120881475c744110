from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.gating import NOW, inventory, package

from dockgate.gate.model import Violation
from dockgate.gate.policy import untriaged_severity
from dockgate.gate.rule import Facts
from dockgate.gate.rules.max_findings import RULE
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import FIX_NOT_TOLD, VERSIONS_ONLY, Finding, Matches, Rating, Severity, Undetermined


def finding(severity: Severity, fixed: str = "2.0.0", identity: str = "CVE-2024-1") -> Finding:
    return Finding(identity, (), package("a"), severity, Rating("advisory", severity), fixed)


def violations(*findings: Finding, **settings: object) -> list[Violation]:
    facts = Facts(inventory(package("a")), Matches(findings, ()), (), NOW)
    return [said for said in RULE.judge(facts, RULE.settings(settings)) if isinstance(said, Violation)]


@pytest.mark.parametrize("severity", list(Severity))
def test_each_severity_has_a_limit_of_its_own(severity: Severity) -> None:
    findings = [finding(severity, identity=f"CVE-2024-{number}") for number in range(3)]
    assert violations(*findings, **{severity.value: 3}) == []
    (violation,) = violations(*findings, **{severity.value: 2})
    assert violation == Violation(
        "max_findings", f"3 {severity} findings, at most 2 allowed", tuple(findings), allowed=2
    )


def test_violations_come_worst_first() -> None:
    told = violations(finding(Severity.LOW), finding(Severity.CRITICAL), LOW=0, CRITICAL=0)
    assert [violation.message for violation in told] == [
        "1 CRITICAL finding, at most 0 allowed",
        "1 LOW finding, at most 0 allowed",
    ]


def test_only_findings_with_a_fix_count_where_that_is_set() -> None:
    assert violations(finding(Severity.HIGH, fixed=""), HIGH=0, only_fixable=True) == []
    assert violations(finding(Severity.HIGH, fixed=""), HIGH=0)


def test_untriaged_findings_count_as_high_unless_told_otherwise() -> None:
    untriaged = finding(Severity.UNTRIAGED)
    assert violations(untriaged, HIGH=0)
    assert not violations(untriaged, HIGH=0, untriaged_counts_as="LOW")
    assert violations(untriaged, HIGH=0, LOW=0, untriaged_counts_as="LOW")
    assert violations(untriaged, UNTRIAGED=0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "max_findings: no limit is set"),
        ({"only_fixable": True}, "max_findings: no limit is set"),
        ({"HIGH": -1}, "HIGH: -1 is not allowed; allowed: a whole number, 0 or more"),
        ({"HIGH": "0"}, 'HIGH: "0" is not allowed'),
        ({"HIGH": True}, "HIGH: true is not allowed"),
        ({"HIGH": None}, "HIGH: null is not allowed"),
        ({"HIGH": 0, "only_fixable": "yes"}, 'only_fixable: "yes" is not allowed; allowed: true, false'),
        ({"HIGH": 0, "untriaged_counts_as": "high"}, 'untriaged_counts_as: "high" is not allowed; allowed: CRITICAL, '),
        ({"HIGH": 0, "untriaged_counts_as": ["HIGH"]}, "untriaged_counts_as: "),
        ({"UNTRIAGED": 5, "untriaged_counts_as": "HIGH"}, "UNTRIAGED: the limit has no effect"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(settings: dict[str, object], told: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        RULE.settings(settings)
    assert str(refusal.value).startswith(told)


def counted(unlisted_counts: dict[str, int], **settings: object) -> list[str]:
    """What is said where another scanner only counted: "!" before a violation, "?" before what is undetermined."""
    facts = Facts(
        inventory(), Matches((), ()), (), NOW, is_external=True, source="inspector", unlisted_counts=unlisted_counts
    )
    said = RULE.judge(facts, RULE.settings(settings))
    return [f"! {one.message}" if isinstance(one, Violation) else f"? {one.reason}" for one in said]


def test_counts_are_judged_like_findings() -> None:
    assert counted({"CRITICAL": 3, "HIGH": 1}, CRITICAL=0, HIGH=1) == ["! 3 CRITICAL findings, at most 0 allowed"]
    assert counted({"CRITICAL": 0}, CRITICAL=0) == []


def test_counts_that_do_not_say_whether_there_is_a_fix_are_undetermined_where_that_matters() -> None:
    (said,) = counted({"CRITICAL": 3}, CRITICAL=0, only_fixable=True)
    assert said.startswith("? inspector does not report the severity of every finding")
    assert "up to 3 may count as CRITICAL, at most 0 allowed" in said
    assert counted({"CRITICAL": 3}, CRITICAL=3, only_fixable=True) == []


def test_counts_of_an_unknown_severity_may_be_any_of_those_not_told() -> None:
    assert counted({"": 2}, LOW=2, HIGH=2) == []
    said = counted({"": 2}, CRITICAL=0, HIGH=0, MEDIUM=0, LOW=1, untriaged_counts_as="HIGH")
    assert [one[:2] for one in said] == ["? ", "? "]
    assert "may count as HIGH" in said[0]
    assert "may count as LOW" in said[1]
    assert len(counted({"": 2}, CRITICAL=0, HIGH=0, MEDIUM=0, LOW=1)) == 4
    assert counted({"": 2}, CRITICAL=0, HIGH=0, MEDIUM=0, untriaged_counts_as="UNTRIAGED") == []


def test_counts_of_untriaged_count_as_the_policy_says() -> None:
    assert counted({"UNTRIAGED": 2}, HIGH=1) == ["! 2 HIGH findings, at most 1 allowed"]
    assert counted({"UNTRIAGED": 2}, UNTRIAGED=1) == ["! 2 UNTRIAGED findings, at most 1 allowed"]


def test_findings_of_which_no_fix_is_told_may_have_one() -> None:
    held = (replace(finding(Severity.HIGH, fixed=""), note=FIX_NOT_TOLD),)
    facts = Facts(inventory(), Matches(held, ()), (), NOW, is_external=True, source="sarif")
    (said,) = RULE.judge(facts, RULE.settings({"HIGH": 0, "only_fixable": True}))
    assert isinstance(said, Undetermined)
    assert list(RULE.judge(facts, RULE.settings({"HIGH": 1, "only_fixable": True}))) == []
    (said,) = RULE.judge(facts, RULE.settings({"HIGH": 0}))
    assert isinstance(said, Violation)


@pytest.mark.parametrize("note", [VERSIONS_ONLY, FIX_NOT_TOLD])
def test_an_unknown_fix_in_our_own_advisories_is_doubt(note: str) -> None:
    unknown = (replace(finding(Severity.HIGH, fixed=""), note=note), replace(finding(Severity.HIGH, fixed="")))
    facts = Facts(inventory(), Matches(unknown, ()), (), NOW)
    (doubt,) = RULE.judge(facts, RULE.settings({"HIGH": 0, "only_fixable": True}))
    assert isinstance(doubt, Undetermined)
    assert "has a fix, and only findings with a fix count: up to 1 may count as HIGH" in doubt.reason
    (doubt,) = RULE.judge(facts, RULE.settings({"total": 0, "only_fixable": True}))
    assert isinstance(doubt, Undetermined)
    assert list(RULE.judge(facts, RULE.settings({"HIGH": 1, "only_fixable": True}))) == []


@pytest.mark.parametrize(
    ("limits", "counts_as", "sure"),
    [
        ({"CRITICAL": 0}, "any", "CRITICAL"),
        ({"LOW": 3}, "any", "LOW"),
        ({"HIGH": 0, "CRITICAL": 0}, "any", "HIGH"),
        ({"total": 9}, "any", "HIGH"),
        ({"CRITICAL": 0, "UNTRIAGED": 9}, "UNTRIAGED", "UNTRIAGED"),
        ({"CRITICAL": 0, "untriaged_counts_as": "LOW"}, "LOW", "LOW"),
    ],
)
def test_a_finding_whose_rating_is_lost_falls_out_of_no_limit(
    limits: dict[str, object], counts_as: str, sure: str
) -> None:
    settings = RULE.settings(limits)
    assert settings["untriaged_counts_as"] == counts_as
    assert untriaged_severity(settings) == sure


ratings = st.lists(st.sampled_from(Severity), max_size=6)


@given(
    ratings,
    st.sets(st.integers(0, 5)),
    st.dictionaries(st.sampled_from([*Severity, "total"]), st.integers(0, 3), min_size=1),
    st.sampled_from((0, 30, {"HIGH": 30, "LOW": 3}, {"CRITICAL": 3, "HIGH": 3, "UNTRIAGED": 99})),
)
def test_a_rating_that_is_lost_never_approves(
    rated: list[Severity], lost: set[int], limits: dict[str, int], grace: object
) -> None:
    """Under limits that do not say what UNTRIAGED is."""
    limits.pop(Severity.UNTRIAGED, None)
    settings = RULE.settings({**(limits or {"CRITICAL": 0}), "grace_days": grace})

    def said(severities: list[Severity]) -> int:
        found = [
            replace(finding(severity, identity=f"CVE-2024-{number}"), published="2026-11-20T00:00:00Z")
            for number, severity in enumerate(severities)
        ]
        facts = Facts(inventory(package("a")), Matches(tuple(found), ()), (), NOW)
        return len(list(RULE.judge(facts, settings)))

    fewer = [Severity.UNTRIAGED if at in lost else severity for at, severity in enumerate(rated)]
    if said(rated):
        assert said(fewer)
