from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.samples import NOW, make_inventory, make_package

from dockgate.gate.model import Violation
from dockgate.gate.policy import read_untriaged_severity
from dockgate.gate.rule import RuleInput
from dockgate.gate.rules.max_findings import RULE
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import (
    FIX_UNKNOWN,
    VERSIONS_ONLY,
    Finding,
    Matches,
    Rating,
    Severity,
    UndeterminedFact,
)


def make_finding(severity: Severity, fixed: str | None = "2.0.0", identity: str = "CVE-2024-1") -> Finding:
    return Finding(identity, (), make_package("a"), severity, Rating("advisory", severity), fixed)


def list_violations(*findings: Finding, **settings: object) -> list[Violation]:
    facts = RuleInput(make_inventory(make_package("a")), Matches(findings, ()), (), NOW)
    return [result for result in RULE.judge(facts, RULE.parse_settings(settings)) if isinstance(result, Violation)]


@pytest.mark.parametrize("severity", list(Severity))
def test_each_severity_has_its_own_limit(severity: Severity) -> None:
    findings = [make_finding(severity, identity=f"CVE-2024-{number}") for number in range(3)]
    assert list_violations(*findings, **{severity.value: 3}) == []
    (violation,) = list_violations(*findings, **{severity.value: 2})
    assert violation == Violation(
        "max_findings", f"3 {severity} findings, at most 2 allowed", tuple(findings), allowed=2
    )


def test_violations_are_ordered_worst_first() -> None:
    results = list_violations(make_finding(Severity.LOW), make_finding(Severity.CRITICAL), LOW=0, CRITICAL=0)
    assert [violation.message for violation in results] == [
        "1 CRITICAL finding, at most 0 allowed",
        "1 LOW finding, at most 0 allowed",
    ]


def test_with_only_fixable_only_findings_with_a_fix_count() -> None:
    assert list_violations(make_finding(Severity.HIGH, fixed=None), HIGH=0, only_fixable=True) == []
    assert list_violations(make_finding(Severity.HIGH, fixed=None), HIGH=0)


def test_untriaged_findings_count_as_high_by_default() -> None:
    untriaged_finding = make_finding(Severity.UNTRIAGED)
    assert list_violations(untriaged_finding, HIGH=0)
    assert not list_violations(untriaged_finding, HIGH=0, untriaged_counts_as="LOW")
    assert list_violations(untriaged_finding, HIGH=0, LOW=0, untriaged_counts_as="LOW")
    assert list_violations(untriaged_finding, UNTRIAGED=0)


@pytest.mark.parametrize(
    ("settings", "error"),
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
def test_an_invalid_setting_is_refused_with_allowed_values(settings: dict[str, object], error: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        RULE.parse_settings(settings)
    assert str(refusal.value).startswith(error)


def judge_counts(unlisted_counts: dict[str, int], **settings: object) -> list[str]:
    """The results for counts without findings: "!" before a violation, "?" before an undetermined entry."""
    facts = RuleInput(make_inventory(), Matches((), ()), (), NOW, source="inspector", unlisted_counts=unlisted_counts)
    results = RULE.judge(facts, RULE.parse_settings(settings))
    texts = []
    for entry in results:
        assert isinstance(entry, Violation | UndeterminedFact)
        texts.append(f"! {entry.message}" if isinstance(entry, Violation) else f"? {entry.reason}")
    return texts


def test_counts_without_findings_have_the_same_limits() -> None:
    assert judge_counts({"CRITICAL": 3, "HIGH": 1}, CRITICAL=0, HIGH=1) == ["! 3 CRITICAL findings, at most 0 allowed"]
    assert judge_counts({"CRITICAL": 0}, CRITICAL=0) == []


def test_counts_are_undetermined_with_only_fixable() -> None:
    (result,) = judge_counts({"CRITICAL": 3}, CRITICAL=0, only_fixable=True)
    assert result.startswith("? inspector does not report the severity of every finding")
    assert "up to 3 may count as CRITICAL, at most 0 allowed" in result
    assert judge_counts({"CRITICAL": 3}, CRITICAL=3, only_fixable=True) == []


def test_counts_of_an_unknown_severity_may_be_any_uncounted_severity() -> None:
    assert judge_counts({"": 2}, LOW=2, HIGH=2) == []
    results = judge_counts({"": 2}, CRITICAL=0, HIGH=0, MEDIUM=0, LOW=1, untriaged_counts_as="HIGH")
    assert [entry[:2] for entry in results] == ["? ", "? "]
    assert "may count as HIGH" in results[0]
    assert "may count as LOW" in results[1]
    assert len(judge_counts({"": 2}, CRITICAL=0, HIGH=0, MEDIUM=0, LOW=1)) == 4
    assert judge_counts({"": 2}, CRITICAL=0, HIGH=0, MEDIUM=0, untriaged_counts_as="UNTRIAGED") == []


def test_counts_of_untriaged_count_as_the_policy_sets() -> None:
    assert judge_counts({"UNTRIAGED": 2}, HIGH=1) == ["! 2 HIGH findings, at most 1 allowed"]
    assert judge_counts({"UNTRIAGED": 2}, UNTRIAGED=1) == ["! 2 UNTRIAGED findings, at most 1 allowed"]


def test_a_finding_with_an_unreported_fix_is_undetermined() -> None:
    findings = (replace(make_finding(Severity.HIGH, fixed=None), note=FIX_UNKNOWN),)
    facts = RuleInput(make_inventory(), Matches(findings, ()), (), NOW, source="sarif")
    (result,) = RULE.judge(facts, RULE.parse_settings({"HIGH": 0, "only_fixable": True}))
    assert isinstance(result, UndeterminedFact)
    assert list(RULE.judge(facts, RULE.parse_settings({"HIGH": 1, "only_fixable": True}))) == []
    (result,) = RULE.judge(facts, RULE.parse_settings({"HIGH": 0}))
    assert isinstance(result, Violation)


@pytest.mark.parametrize("note", [VERSIONS_ONLY, FIX_UNKNOWN])
def test_an_unknown_fix_in_our_own_advisories_is_undetermined(note: str) -> None:
    unknown = (
        replace(make_finding(Severity.HIGH, fixed=None), note=note),
        replace(make_finding(Severity.HIGH, fixed=None)),
    )
    facts = RuleInput(make_inventory(), Matches(unknown, ()), (), NOW)
    (entry,) = RULE.judge(facts, RULE.parse_settings({"HIGH": 0, "only_fixable": True}))
    assert isinstance(entry, UndeterminedFact)
    assert "has a fix, and only findings with a fix count: up to 1 may count as HIGH" in entry.reason
    (entry,) = RULE.judge(facts, RULE.parse_settings({"total": 0, "only_fixable": True}))
    assert isinstance(entry, UndeterminedFact)
    assert list(RULE.judge(facts, RULE.parse_settings({"HIGH": 1, "only_fixable": True}))) == []


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
def test_a_finding_that_loses_its_rating_still_has_a_limit(
    limits: dict[str, object], counts_as: str, sure: str
) -> None:
    settings = RULE.parse_settings(limits)
    assert settings["untriaged_counts_as"] == counts_as
    assert read_untriaged_severity(settings) == sure


ratings = st.lists(st.sampled_from(Severity), max_size=6)


@given(
    ratings,
    st.sets(st.integers(0, 5)),
    st.dictionaries(st.sampled_from([*Severity, "total"]), st.integers(0, 3), min_size=1),
    st.sampled_from((0, 30, {"HIGH": 30, "LOW": 3}, {"CRITICAL": 3, "HIGH": 3, "UNTRIAGED": 99})),
)
def test_a_lost_rating_never_approves(
    rated_severities: list[Severity], lost_indices: set[int], limits: dict[str, int], grace: object
) -> None:
    """Under limits that do not set what UNTRIAGED counts as."""
    limits.pop(Severity.UNTRIAGED, None)
    settings = RULE.parse_settings({**(limits or {"CRITICAL": 0}), "grace_days": grace})

    def count_results(severities: list[Severity]) -> int:
        findings = [
            replace(make_finding(severity, identity=f"CVE-2024-{number}"), published="2026-11-20T00:00:00Z")
            for number, severity in enumerate(severities)
        ]
        facts = RuleInput(make_inventory(make_package("a")), Matches(tuple(findings), ()), (), NOW)
        return len(list(RULE.judge(facts, settings)))

    fewer = [Severity.UNTRIAGED if at in lost_indices else severity for at, severity in enumerate(rated_severities)]
    if count_results(rated_severities):
        assert count_results(fewer)
