"""A repository can ask to be judged more strictly, never less: whatever the stricter policy approves, the server's own
does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.rules.policy_cases import list_cases, make_verdict_case
from tests.gate.samples import ECOSYSTEMS, RULES, build_policy, judge
from tests.gate.test_evaluate_properties import coverage, draw_advisories, draw_inventory, limits

from dockgate.gate import evaluate
from dockgate.gate.definitions.policy import add_mandatory_rules, complete_settings, parse_rules
from dockgate.gate.model import Policy, Status, VerdictCase
from dockgate.gate.policy import VEX_RULE, combine_policies, make_policy, merge_rules
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.model import Inventory
from dockgate.shared.yaml import load_document
from dockgate.vulnerabilities.model import Advisory, Coverage

RULE = {rule.name: rule for rule in RULES}
RELAXED = {"unread": "allow", "uncomparable": "allow", "uncovered": "allow", "stale_after_days": 9999}
words = st.sampled_from(("undetermined", "allow"))
evidence = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("unread", "uncomparable", "uncovered"), words) | {"stale_after_days": st.just(9999)}
)
actions = st.sampled_from(({}, {"action": "warn"}, {"action": "note"}, {"action": "reject"}))
limit_uses = st.builds(lambda limit, action: {**limit, **action}, limits, actions)


def make_full_policy(name: str, uses: Mapping[str, Sequence[Mapping[str, object]]]) -> Policy:
    return make_policy(
        name, {rule: [complete_settings(RULE[rule], use) for use in several] for rule, several in uses.items()}
    )


@st.composite
def draw_requested_policy(draw: st.DrawFn) -> Policy:
    """What a repository may write: any rule, in any number of uses, the relaxing ones too, or none."""
    uses: dict[str, list[dict[str, object]]] = {}
    if draw(st.booleans()):
        uses["max_findings"] = draw(st.lists(limit_uses, min_size=1, max_size=2))
    if draw(st.booleans()):
        uses["evidence"] = draw(st.lists(evidence, min_size=1, max_size=2))
    return make_full_policy("repository", uses)


@st.composite
def draw_server_policy(draw: st.DrawFn) -> Policy:
    uses: dict[str, list[dict[str, object]]] = {"max_findings": draw(st.lists(limit_uses, min_size=1, max_size=2))}
    if draw(st.booleans()):
        uses["evidence"] = [draw(evidence)]
    return add_mandatory_rules(make_full_policy("default", uses), RULES)


@given(draw_inventory(), draw_advisories(), draw_server_policy(), draw_requested_policy(), coverage)
@settings(max_examples=scale_examples(80), deadline=None)
def test_an_image_that_passes_the_combined_policy_passes_the_servers_own(
    inventory: Inventory,
    published: list[Advisory],
    own_policy: Policy,
    requested_policy: Policy,
    coverages: tuple[Coverage, ...],
) -> None:
    own_status = judge(inventory, published, own_policy, coverages).status
    together = judge(inventory, published, combine_policies(own_policy, requested_policy), coverages).status
    if together is Status.APPROVED:
        assert own_status is Status.APPROVED
    if own_status is Status.REJECTED:
        assert together is Status.REJECTED


# Of every rule: images, and policies that approve, reject or relax.
CASES = [make_verdict_case(case) for _, case in list_cases()]
STRICTER_POLICIES = [
    parse_rules(load_document(json.dumps(case["policy"]), "p"), (), "repository", RULES, should_add_mandatory=False)
    for _, case in list_cases()
]


@given(st.sampled_from(CASES), st.sampled_from(CASES), st.sampled_from(STRICTER_POLICIES))
@settings(max_examples=scale_examples(150), deadline=None)
def test_every_rule_is_covered_by_the_property(case: VerdictCase, by: VerdictCase, requested_policy: Policy) -> None:
    def judge_under(policy: Policy) -> Status:
        return evaluate.judge(replace(case, policy=policy), ECOSYSTEMS, RULES, should_remediate=False).status

    own_status, together = judge_under(by.policy), judge_under(combine_policies(by.policy, requested_policy))
    if together is Status.APPROVED:
        assert own_status is Status.APPROVED
    if own_status is Status.REJECTED:
        assert together is Status.REJECTED


@given(draw_inventory(), draw_advisories(), draw_requested_policy(), draw_requested_policy(), coverage)
@settings(max_examples=scale_examples(50), deadline=None)
def test_merging_two_repository_policies_is_as_strict_as_each(
    inventory: Inventory, published: list[Advisory], first: Policy, second: Policy, coverages: tuple[Coverage, ...]
) -> None:
    own_policy = build_policy()
    if (
        judge(inventory, published, combine_policies(own_policy, merge_rules(first, second)), coverages).status
        is Status.APPROVED
    ):
        for policy in (first, second):
            assert (
                judge(inventory, published, combine_policies(own_policy, policy), coverages).status is Status.APPROVED
            )


def test_a_repository_cannot_add_vex_authors() -> None:
    own_policy = make_policy("default", {VEX_RULE: [{"authors": ["vendor"]}]})
    request = make_policy("repository", {VEX_RULE: [{"authors": ["mallory"]}]})
    assert merge_rules(own_policy, request).rules == own_policy.rules
    assert VEX_RULE not in merge_rules(make_policy("default", {}), request).rules


def test_a_mandatory_rule_is_not_relaxed_in_an_older_policy() -> None:
    """Such a policy is completed before it is combined: else the wish would be the rule's only use."""
    before = make_policy("default", {"max_findings": [complete_settings(RULE["max_findings"], {"HIGH": 0})]})
    request = make_full_policy("repository", {"evidence": [RELAXED]})
    assert len(combine_policies(add_mandatory_rules(before, RULES), request).rules["evidence"]) == 2


def test_a_combined_policy_is_named_by_both_of_its_parts() -> None:
    own_policy, request = build_policy(), make_full_policy("repository", {"evidence": [{}]})
    both = combine_policies(own_policy, request)
    reference = PolicyReference(both.name)
    assert reference == PolicyReference.make(own_policy.name, request.digest)
    assert (str(reference), reference.label) == (both.name, "strict+repository")
    own_reference = PolicyReference(own_policy.name)
    assert (own_reference, str(own_reference), own_reference.label) == (PolicyReference("strict"), "strict", "strict")
    assert type(own_reference.server_policy) is str
