"""What a baseline excludes: findings that it had, and not those that it passed with by an exemption."""

from dataclasses import replace

import pytest
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    build_policy,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.gate import baselines, evaluate
from dockgate.gate.model import BaselineExemptions, ExemptionSet, Policy, Status, Verdict, VerdictCase, Waiver
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Severity

# When the baseline was approved.
EARLIER = "2026-11-10T12:00:00Z"
WAIVER = Waiver("w1", "ana", "It is never called.", "CVE-2024-1", until="2026-11-20")
A = make_inventory(make_package("a"))
KEY = ("CVE-2024-1", "npm", "a")


def make_baseline_policy(**settings: object) -> Policy:
    return build_policy(max_findings={"HIGH": 0, "baseline": "approved", **settings})


def make_case(under: Policy, published: Advisory, now: str = NOW, content: Inventory = A) -> VerdictCase:
    checked_coverage = tuple(Coverage(item.ecosystem, item.is_complete, item.names, now) for item in COVERED)
    return VerdictCase(IMAGE, under, now, "0.1.0", (content,), AdvisorySnapshot((published,), checked_coverage))


def judge(case: VerdictCase) -> Verdict:
    return evaluate.judge(case, ECOSYSTEMS, RULES, should_remediate=False)


def judge_next_build(before: VerdictCase, after: VerdictCase) -> Status:
    """The status of what is built after an image that was approved."""
    verdict = judge(before)
    assert verdict.status is Status.APPROVED
    exemptions = baselines.find_exemptions(before, verdict.platform_verdicts, ECOSYSTEMS)
    against = {"approved": before.inventories}
    return judge(replace(after, baselines=against, baseline_exemptions={"approved": exemptions})).status


def test_a_finding_of_the_baseline_is_not_new() -> None:
    item = make_advisory("CVE-2024-1", "a")
    lenient = make_baseline_policy(HIGH=1)
    assert judge_next_build(make_case(lenient, item, EARLIER), make_case(lenient, item)) is Status.APPROVED
    assert (
        judge_next_build(make_case(lenient, item, EARLIER), make_case(make_baseline_policy(), item)) is Status.APPROVED
    )


def test_a_finding_published_since_is_not_new() -> None:
    unaffected_advisory = make_advisory("CVE-2024-1", "b")
    assert (
        judge_next_build(
            make_case(make_baseline_policy(), unaffected_advisory, EARLIER),
            make_case(make_baseline_policy(), make_advisory("CVE-2024-1", "a")),
        )
        is Status.APPROVED
    )


def test_a_waived_finding_of_the_baseline_counts_after_the_waiver() -> None:
    item = make_advisory("CVE-2024-1", "a")
    waivers = ExemptionSet((WAIVER,))
    before = replace(make_case(make_baseline_policy(), item, EARLIER), waivers=waivers)
    assert (
        judge_next_build(
            before, replace(make_case(make_baseline_policy(), item, "2026-11-19T00:00:00Z"), waivers=waivers)
        )
        is Status.APPROVED
    )
    assert (
        judge_next_build(before, replace(make_case(make_baseline_policy(), item), waivers=waivers)) is Status.REJECTED
    )


def test_an_unfixed_finding_of_the_baseline_counts_once_it_has_a_fix() -> None:
    fixed_advisory, open_ = make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-1", "a", fixed="")
    under = make_baseline_policy(only_fixable=True)
    assert judge_next_build(make_case(under, open_, EARLIER), make_case(under, fixed_advisory)) is Status.REJECTED
    assert judge_next_build(make_case(under, open_, EARLIER), make_case(under, open_)) is Status.APPROVED
    assert (
        judge_next_build(make_case(under, open_, EARLIER), make_case(make_baseline_policy(), open_)) is Status.APPROVED
    )


@pytest.mark.parametrize(("grace", "later_status"), [(14, Status.REJECTED), (30, Status.APPROVED)])
def test_a_finding_of_the_baseline_counts_after_its_grace_period(grace: int, later_status: Status) -> None:
    item = replace(make_advisory("CVE-2024-1", "a"), published="2026-11-05T00:00:00Z")
    under = make_baseline_policy(grace_days={"HIGH": grace})
    assert judge_next_build(make_case(under, item, EARLIER), make_case(under, item)) is later_status


def test_a_finding_of_an_earlier_baseline_needs_no_exemption() -> None:
    item = replace(make_advisory("CVE-2024-1", "a", fixed=""), published="2026-11-05T00:00:00Z")
    under = make_baseline_policy(grace_days=30, only_fixable=True)
    before = replace(make_case(under, item, EARLIER), waivers=ExemptionSet((WAIVER,)), baselines={"approved": (A,)})
    assert baselines.find_exemptions(before, judge(before).platform_verdicts, ECOSYSTEMS) == BaselineExemptions(EARLIER)
    later_baseline = replace(before, baseline_exemptions={"approved": BaselineExemptions(EARLIER, waived=(KEY,))})
    assert baselines.find_exemptions(later_baseline, judge(later_baseline).platform_verdicts, ECOSYSTEMS).waived == (
        KEY,
    )


def test_only_exemptions_of_the_policy_are_recorded() -> None:
    item = replace(make_advisory("CVE-2024-1", "a", Severity.LOW, fixed=""), published="2026-11-05T00:00:00Z")
    before = make_case(make_baseline_policy(), item, EARLIER)
    assert baselines.find_exemptions(before, judge(before).platform_verdicts, ECOSYSTEMS) == BaselineExemptions(EARLIER)
