"""A candidate against the policy that holds."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.samples import judge, limit_findings, make_advisory, make_inventory, make_package
from tests.gate.test_evaluate_properties import coverage, draw_advisories, draw_inventory

from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.replay.policy_diff import (
    BlockingReason,
    ImageComparison,
    compare,
    read_outcome,
    summarize,
    summarize_outcome,
)
from dockgate.scanner.model import Inventory, Unread
from dockgate.shared import canonical
from dockgate.vulnerabilities.model import Advisory, Coverage

BROKEN = BlockingReason("linux/amd64", "max_findings", "1 HIGH finding, at most 0 allowed")


def try_policy(before: int, after: int, is_unread: bool = False) -> ImageComparison:
    content = make_inventory(
        make_package("a"), unread_paths=(Unread("app/x", "It ends too early."),) if is_unread else ()
    )
    existing = [make_advisory("CVE-2026-1", "a")]
    old, new = (judge(content, existing, limit_findings(HIGH=limit)).platform_verdicts for limit in (before, after))
    return compare(summarize_outcome(old), summarize_outcome(new), PolicyReference("strict"), "an image")


def test_reasons_are_added_by_the_candidate_or_removed() -> None:
    assert (try_policy(1, 0).before, try_policy(1, 0).after) == (Status.APPROVED, Status.REJECTED)
    assert (try_policy(1, 0).added, try_policy(1, 0).removed) == ((BROKEN,), ())
    assert (try_policy(0, 1).added, try_policy(0, 1).removed) == ((), (BROKEN,))
    assert not try_policy(0, 0).is_changed


def test_undetermined_entries_are_added_and_removed_too() -> None:
    both = try_policy(0, 1, is_unread=True)
    assert (both.before, both.after, both.is_status_changed) == (Status.REJECTED, Status.UNDETERMINED, True)
    assert both.removed == (BROKEN,)


def test_only_changes_are_listed_and_all_are_counted() -> None:
    part = summarize([try_policy(1, 0), try_policy(0, 0), try_policy(1, 0), try_policy(0, 1)], "7")
    assert part.judged == 4
    assert part.status_changes == {"Approved → Rejected": 2, "Rejected → Approved": 1}
    assert len(part.changes) == 3
    assert part.next == "7"


def test_the_outcome_of_a_stored_verdict_on_an_unknown_platform_equals_that_of_the_verdict() -> None:
    content = replace(make_inventory(make_package("a")), platform=None)
    verdict = judge(content, [make_advisory("CVE-2026-1", "a")], limit_findings(HIGH=0))
    outcome = read_outcome(canonical.encode(verdict))
    assert outcome == summarize_outcome(verdict.platform_verdicts)
    assert [reason.platform for reason in outcome.reasons] == [None]


@given(draw_inventory(), draw_advisories(), st.integers(0, 3), coverage)
@settings(max_examples=scale_examples(50), deadline=None)
def test_the_outcome_of_a_stored_verdict_equals_that_of_the_verdict(
    inventory: Inventory, published: list[Advisory], limit: int, coverages: tuple[Coverage, ...]
) -> None:
    verdict = judge(inventory, published, limit_findings(HIGH=limit), coverages)
    assert read_outcome(canonical.encode(verdict)) == summarize_outcome(verdict.platform_verdicts)
