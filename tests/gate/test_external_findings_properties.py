"""What holds of every verdict on findings that another scanner made, whatever it does not tell."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.samples import COVERED, ECOSYSTEMS, IMAGE, NOW, limit_findings, make_inventory, make_package
from tests.gate.test_evaluate_properties import draw_advisories
from tests.gate.test_whole_gate_properties import draw_case, look

from dockgate.gate.model import EMPTY_SNAPSHOT, ExternalReport, Status, VerdictCase
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Finding, Matches, Rating, Severity

FIELDS = ("exploited", "due", "epss", "percentile", "fixed", "fixed_at", "published", "rating", "severity")
fields = st.sets(st.sampled_from(FIELDS), max_size=3)


def match_findings(content: Inventory, published: tuple[Advisory, ...]) -> tuple[Finding, ...]:
    return Matcher(AdvisorySnapshot(published, COVERED), ECOSYSTEMS).match(content.packages).findings


@st.composite
def draw_reported_case(draw: st.DrawFn) -> VerdictCase:
    """Findings, a few of which may only be counted, in place of a scan."""
    case = draw(draw_case())
    (inventory,) = case.inventories
    packages = tuple(package for package in inventory.packages if package.version != "odd") or (make_package("a"),)
    content = replace(inventory, packages=packages, unread=(), base_layers=0)
    unlisted_counts = draw(st.sampled_from(({}, {"HIGH": 1}, {"": 2}, {"CRITICAL": 1, "UNTRIAGED": 1})))
    messages = ExternalReport(
        "other",
        NOW,
        content,
        Matches(match_findings(content, case.snapshot.advisories), ()),
        unlisted_counts=unlisted_counts,
    )
    return replace(
        case,
        inventories=(),
        snapshot=EMPTY_SNAPSHOT,
        external_reports=(messages,),
        baselines={},
        baseline_exemptions={},
    )


def remove_fields(case: VerdictCase, lost_fields: Collection[str]) -> VerdictCase:
    """The case, of whose findings the scanner does not tell these fields."""
    (report,) = case.external_reports
    findings = []
    for finding in report.matches.findings:
        bare: dict[str, Any] = {name: None for name in lost_fields if name not in ("rating", "severity")}
        if "severity" in lost_fields or "rating" in lost_fields:
            severity = Severity.UNTRIAGED if "severity" in lost_fields else finding.severity
            bare |= {"severity": severity, "rating": Rating(None, severity)}
        findings.append(replace(finding, **bare))
    matches = Matches(tuple(findings), ())
    return replace(
        case, external_reports=(replace(report, matches=matches, missing_fields=tuple(sorted(lost_fields))),)
    )


@given(draw_reported_case(), fields)
@settings(max_examples=25, deadline=None)
def test_missing_fields_never_approve_an_image(case: VerdictCase, lost_fields: set[str]) -> None:
    """Unless the policy lets it pass knowingly."""
    is_unscored = any(use.get("unscored") == "ignore" for uses in case.policy.rules.values() for use in uses)
    is_unrated = "severity" in lost_fields and "reference_2022" in case.policy.rules
    endless = any(waiver.until_fixed for waiver in case.waivers.waivers)
    if not (is_unscored or is_unrated or endless) and look(case) is not Status.APPROVED:
        assert look(remove_fields(case, lost_fields)) is not Status.APPROVED


@given(draw_reported_case(), draw_advisories(prefix="9"), fields)
@settings(max_examples=25, deadline=None)
def test_one_more_reported_finding_never_approves(
    case: VerdictCase, added_advisories: list[Advisory], lost_fields: set[str]
) -> None:
    (report,) = case.external_reports
    findings = (*report.matches.findings, *match_findings(report.inventory, tuple(added_advisories)))
    longer = replace(case, external_reports=(replace(report, matches=Matches(findings, ())),))
    if look(remove_fields(case, lost_fields)) is not Status.APPROVED:
        assert look(remove_fields(longer, lost_fields)) is not Status.APPROVED


@given(draw_reported_case(), draw_reported_case(), fields)
@settings(max_examples=25, deadline=None)
def test_one_more_report_never_approves(case: VerdictCase, second: VerdictCase, lost_fields: set[str]) -> None:
    """So reports of people who may not accept risks can count beside that of one who may."""
    larger_case = replace(
        case, external_reports=(*case.external_reports, *remove_fields(second, lost_fields).external_reports)
    )
    if look(case) is not Status.APPROVED:
        assert look(larger_case) is not Status.APPROVED


@pytest.mark.parametrize(
    ("platform", "status"),
    [("linux/amd64", Status.APPROVED), (None, Status.APPROVED), ("linux/arm64", Status.UNDETERMINED)],
)
def test_only_a_scan_of_the_same_platform_settles_what_a_report_leaves_open(
    platform: str | None, status: Status
) -> None:
    content = make_inventory(make_package("a"))
    messages = ExternalReport("other", None, replace(content, platform=platform), Matches((), ()))
    case = VerdictCase(
        IMAGE,
        limit_findings(HIGH=0),
        NOW,
        "0.1.0",
        (content,),
        AdvisorySnapshot((), COVERED),
        external_reports=(messages,),
    )
    assert look(case) is status
    variant = replace(content, platform=f"{platform}/v8" if platform else None)
    assert look(replace(case, inventories=(variant,))) is Status.APPROVED
