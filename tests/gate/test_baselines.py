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
from dockgate.gate.model import BaselineExemptions, Policy, Status, Verdict, VerdictCase, Waiver, Waivers
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Severity

# When the baseline was approved.
EARLIER = "2026-11-10T12:00:00Z"
WAIVER = Waiver("w1", "ana", "It is never called.", "CVE-2024-1", until="2026-11-20")
A = make_inventory(make_package("a"))
KEY = ("CVE-2024-1", "npm", "a")


def baseline_policy(**settings: object) -> Policy:
    return build_policy(max_findings={"HIGH": 0, "baseline": "approved", **settings})


def case(under: Policy, published: Advisory, now: str = NOW, content: Inventory = A) -> VerdictCase:
    checked = tuple(Coverage(item.ecosystem, item.complete, item.names, now) for item in COVERED)
    return VerdictCase(IMAGE, under, now, "0.1.0", (content,), AdvisorySnapshot((published,), checked))


def judge(case: VerdictCase) -> Verdict:
    return evaluate.judge(case, ECOSYSTEMS, RULES, should_remediate=False)


def next_build(before: VerdictCase, after: VerdictCase) -> Status:
    """The status of what is built after an image that was approved."""
    verdict = judge(before)
    assert verdict.status is Status.APPROVED
    excused = baselines.find_exemptions(before, verdict.platform_verdicts, ECOSYSTEMS)
    against = {"approved": before.inventories}
    return judge(replace(after, baselines=against, baseline_exemptions={"approved": excused})).status


def test_a_finding_of_the_baseline_is_not_new() -> None:
    item = make_advisory("CVE-2024-1", "a")
    lenient = baseline_policy(HIGH=1)
    assert next_build(case(lenient, item, EARLIER), case(lenient, item)) is Status.APPROVED
    assert next_build(case(lenient, item, EARLIER), case(baseline_policy(), item)) is Status.APPROVED


def test_a_finding_published_since_is_not_new() -> None:
    unaffected = make_advisory("CVE-2024-1", "b")
    assert (
        next_build(
            case(baseline_policy(), unaffected, EARLIER), case(baseline_policy(), make_advisory("CVE-2024-1", "a"))
        )
        is Status.APPROVED
    )


def test_a_waived_finding_of_the_baseline_counts_after_the_waiver() -> None:
    item = make_advisory("CVE-2024-1", "a")
    accepted = Waivers((WAIVER,))
    before = replace(case(baseline_policy(), item, EARLIER), waivers=accepted)
    assert (
        next_build(before, replace(case(baseline_policy(), item, "2026-11-19T00:00:00Z"), waivers=accepted))
        is Status.APPROVED
    )
    assert next_build(before, replace(case(baseline_policy(), item), waivers=accepted)) is Status.REJECTED


def test_an_unfixed_finding_of_the_baseline_counts_once_it_has_a_fix() -> None:
    fixed_advisory, open_ = make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-1", "a", fixed="")
    under = baseline_policy(only_fixable=True)
    assert next_build(case(under, open_, EARLIER), case(under, fixed_advisory)) is Status.REJECTED
    assert next_build(case(under, open_, EARLIER), case(under, open_)) is Status.APPROVED
    assert next_build(case(under, open_, EARLIER), case(baseline_policy(), open_)) is Status.APPROVED


@pytest.mark.parametrize(("grace", "then"), [(14, Status.REJECTED), (30, Status.APPROVED)])
def test_a_finding_of_the_baseline_counts_after_its_grace_period(grace: int, then: Status) -> None:
    item = replace(make_advisory("CVE-2024-1", "a"), published="2026-11-05T00:00:00Z")
    under = baseline_policy(grace_days={"HIGH": grace})
    assert next_build(case(under, item, EARLIER), case(under, item)) is then


def test_a_finding_of_an_earlier_baseline_needs_no_exemption() -> None:
    item = replace(make_advisory("CVE-2024-1", "a", fixed=""), published="2026-11-05T00:00:00Z")
    under = baseline_policy(grace_days=30, only_fixable=True)
    before = replace(case(under, item, EARLIER), waivers=Waivers((WAIVER,)), baselines={"approved": (A,)})
    assert baselines.find_exemptions(before, judge(before).platform_verdicts, ECOSYSTEMS) == BaselineExemptions(EARLIER)
    again = replace(before, baseline_exemptions={"approved": BaselineExemptions(EARLIER, waived=(KEY,))})
    assert baselines.find_exemptions(again, judge(again).platform_verdicts, ECOSYSTEMS).waived == (KEY,)


def test_only_exemptions_of_the_policy_are_recorded() -> None:
    item = replace(make_advisory("CVE-2024-1", "a", Severity.LOW, fixed=""), published="2026-11-05T00:00:00Z")
    before = case(baseline_policy(), item, EARLIER)
    assert baselines.find_exemptions(before, judge(before).platform_verdicts, ECOSYSTEMS) == BaselineExemptions(EARLIER)
