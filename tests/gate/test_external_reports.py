"""How reports of other scanners are judged, beside a scan and instead of one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    limit_findings,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.gate import evaluate
from dockgate.gate.model import (
    ExternalReport,
    Status,
    VerdictCase,
    Violation,
)
from dockgate.gate.policy import make_policy
from dockgate.gate.rule import Rule, RuleInput
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import (
    AdvisorySnapshot,
    Finding,
    Matches,
    Rating,
    Severity,
)


def test_external_findings_are_judged_by_the_same_rules() -> None:
    existing = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
    matches = Matcher(existing, ECOSYSTEMS).match(make_inventory(make_package("a")).packages)
    report = ExternalReport("trivy", NOW, make_inventory(make_package("a")), matches)
    verdict = evaluate.judge(
        VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", external_reports=(report,)), ECOSYSTEMS, RULES
    )
    assert verdict.status is Status.REJECTED
    assert [(upgrade.name, upgrade.fixed) for upgrade in verdict.platform_verdicts[0].remediation.upgrades] == [
        ("a", "2.0.0")
    ]
    assert verdict.platform_verdicts[0].remediation.is_sufficient


def make_report(*findings: Finding, at: str = NOW, unlisted_counts: dict[str, int] | None = None) -> ExternalReport:
    packages = tuple(dict.fromkeys(finding.package for finding in findings))
    return ExternalReport("trivy", at, make_inventory(*packages), Matches(findings, ()), unlisted_counts or {})


def test_the_worst_of_scan_and_external_report_decides() -> None:
    bad = Finding("CVE-2026-1", (), make_package("a"), Severity.HIGH, Rating("trivy", Severity.HIGH), "2.0.0")
    case = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", external_reports=(make_report(),))
    assert evaluate.judge(case, ECOSYSTEMS, RULES).status is Status.APPROVED
    scanned_case = replace(
        case, inventories=(make_inventory(make_package("b")),), snapshot=AdvisorySnapshot((), COVERED)
    )
    assert evaluate.judge(scanned_case, ECOSYSTEMS, RULES).status is Status.APPROVED
    both = replace(scanned_case, external_reports=(make_report(bad),))
    assert [
        platform_verdict.status for platform_verdict in evaluate.judge(both, ECOSYSTEMS, RULES).platform_verdicts
    ] == [
        Status.APPROVED,
        Status.REJECTED,
    ]
    assert evaluate.judge(both, ECOSYSTEMS, RULES).status is Status.REJECTED


def test_an_external_report_does_not_replace_a_failed_scan() -> None:
    bad = Finding("CVE-2026-1", (), make_package("a"), Severity.HIGH, Rating("trivy", Severity.HIGH), "2.0.0")
    case = VerdictCase(
        IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", external_reports=(make_report(),), no_scan_reason="It is broken."
    )
    assert evaluate.judge(case, ECOSYSTEMS, RULES).status is Status.UNDETERMINED
    assert evaluate.judge(case, ECOSYSTEMS, RULES).summary == "Undetermined: It is broken."
    verdict = evaluate.judge(replace(case, external_reports=(make_report(bad),)), ECOSYSTEMS, RULES)
    assert verdict.status is Status.REJECTED


def test_a_rule_is_undetermined_without_its_required_fields() -> None:
    class Fussy(Rule):
        name = "fussy"
        required_fields = ("exploited",)
        schema: Mapping[str, Any] = {}

        def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
            return dict(raw)

        def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
            return ("Nothing.",)

        def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation]:
            return iter(())

    under = make_policy("fussy", {"fussy": [{}]})
    case = VerdictCase(
        IMAGE, under, NOW, "0.1.0", external_reports=(make_report(unlisted_counts={"CRITICAL": 2, "": 1}),)
    )
    verdict = evaluate.judge(case, ECOSYSTEMS, (*RULES, Fussy()))
    assert verdict.status is Status.UNDETERMINED
    assert "trivy counted 3 findings without listing them: fussy cannot be judged." in verdict.summary
    none = replace(case, external_reports=(make_report(unlisted_counts={"CRITICAL": 0}),))
    assert evaluate.judge(none, ECOSYSTEMS, (*RULES, Fussy())).status is Status.APPROVED
    bad = Finding("CVE-2026-1", (), make_package("a"), Severity.HIGH, Rating("trivy", Severity.HIGH), "2.0.0")
    messages = replace(make_report(bad), missing_fields=("epss",))
    assert (
        evaluate.judge(replace(case, external_reports=(messages,)), ECOSYSTEMS, (*RULES, Fussy())).status
        is Status.APPROVED
    )
    silent = replace(make_report(bad), missing_fields=("epss", "exploited"))
    verdict = evaluate.judge(replace(case, external_reports=(silent,)), ECOSYSTEMS, (*RULES, Fussy()))
    assert verdict.status is Status.UNDETERMINED
    assert "trivy does not report exploited: fussy cannot be judged." in verdict.summary
