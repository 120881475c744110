"""Which policy judges a request: the repository's own, an allowed one, or one that is provably stricter."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.gate.samples import ECOSYSTEMS, RULES, judge
from tests.gate.test_evaluate_properties import coverage, draw_advisories, draw_inventory
from tests.gate.test_stricter_policies import CASES, draw_requested_policy, draw_server_policy, make_full_policy

from dockgate.gate import evaluate
from dockgate.gate.model import Policy, Status, VerdictCase
from dockgate.gate.policy import VEX_RULE, combine_policies, make_policy
from dockgate.gate.policy_choice import (
    AllowedPolicies,
    PolicyAssignment,
    can_judge,
    choose_assignment,
    choose_policy,
    is_stricter,
)
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal, Role
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import ConflictError, DeniedError, NotFoundError, UsageError
from dockgate.shared.references import normalize_registry
from dockgate.vulnerabilities.model import Advisory, Coverage

POLICIES = {
    name: make_full_policy(name, {"max_findings": [limits]})
    for name, limits in {
        "default": {"CRITICAL": 0, "HIGH": 0},
        "strict": {"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0},
        "stricter": {"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0},
        "weak": {"CRITICAL": 0, "HIGH": 9},
        "other": {"LOW": 0},
    }.items()
}
DEV, CI, SEC = Principal("dev", (Role.DEVELOPER,)), Principal("ci", ()), Principal("sec", (Role.SECURITY,))


def read(name: str) -> Policy:
    if name not in POLICIES:
        raise NotFoundError(f"there is no policy {name!r}")
    return POLICIES[name]


def make_assignment(
    policy: str, *patterns: str, allowed_policies: tuple[AllowedPolicies, ...] = (), name: str = "a"
) -> PolicyAssignment:
    return PolicyAssignment(name, patterns, policy, allowed_policies)


def choose(
    requested_policy: str, *assignments: PolicyAssignment, who: Principal = DEV, repository: str = "team/app"
) -> str:
    return choose_policy(assignments, repository, PolicyReference(requested_policy), who, read)


def test_the_repositorys_own_policy_is_the_default() -> None:
    assert choose("") == "default"
    assert choose("", make_assignment("strict", "team/*")) == "strict"
    assert choose("", make_assignment("strict", "other/*")) == "default"


@pytest.mark.parametrize("requested_policy", ["weak", "other", "default"])
@pytest.mark.parametrize("who", [DEV, CI, SEC])
def test_a_request_cannot_choose_a_weaker_policy(requested_policy: str, who: Principal) -> None:
    with pytest.raises(DeniedError, match=f"may not use the policy '{requested_policy}'") as error:
        choose(requested_policy, make_assignment("strict", "team/*"), who=who)
    assert "one of: strict." in str(error.value.advice)


def test_an_assignment_allows_policies_to_principals_and_roles() -> None:
    allowed_policies = (
        AllowedPolicies(("weak",), principals=("ci",), roles=(Role.SECURITY,)),
        AllowedPolicies(("other",)),
    )
    assignment = make_assignment("strict", "team/*", allowed_policies=allowed_policies)
    assert [choose("weak", assignment, who=who) for who in (CI, SEC)] == ["weak", "weak"]
    assert choose("other", assignment) == "other"
    with pytest.raises(DeniedError) as error:
        choose("weak", assignment)
    assert "one of: strict, other." in str(error.value.advice)
    with pytest.raises(DeniedError):
        choose("weak", assignment, repository="elsewhere/app", who=SEC)


def test_everyone_may_choose_a_provably_stricter_policy() -> None:
    assert choose("stricter", make_assignment("strict", "team/*")) == "stricter"
    with pytest.raises(NotFoundError):
        choose("nothing")
    with pytest.raises(UsageError):
        choose("default+sha256:" + "1" * 64)


def test_the_most_specific_pattern_wins_and_a_tie_is_refused() -> None:
    broad, team = make_assignment("weak", "**", name="broad"), make_assignment("strict", "team/*", name="team")
    exact = make_assignment("other", "team/app", name="exact")
    for order in ((broad, team, exact), (exact, team, broad)):
        assert choose_assignment(order, "team/app") == exact
        assert choose_assignment(order, "team/web") == team
        assert choose_assignment(order, "quay.io/team/app") == broad
    tie = make_assignment("weak", "team/*", name="second")
    with pytest.raises(ConflictError, match="second, team match the repository team/app equally well"):
        choose_assignment((team, tie), "team/app")
    assert choose_assignment((team, make_assignment("strict", "team/*", name="same")), "team/app") == team


def test_a_verdict_by_another_repositorys_policy_does_not_count() -> None:
    strict = (make_assignment("strict", "team/*", allowed_policies=(AllowedPolicies(("weak",), principals=("ci",)),)),)
    digest = "sha256:" + "1" * 64
    for name, counts in {"strict": True, f"strict+{digest}": True, "weak": True, "other": False}.items():
        assert can_judge(strict, "team/app", PolicyReference(name), ["other"], read, is_chosen=True) is counts, name
    for name, counts in {"strict": True, "weak": False}.items():  # "weak" was requested for another repository
        assert can_judge(strict, "team/app", PolicyReference(name), [], read, is_chosen=False) is counts, name
    for name, counts in {"default": True, "strict": False, "weak": False, "other": True}.items():
        assert can_judge((), "team/app", PolicyReference(name), ["other"], read, is_chosen=True) is counts, name


def test_a_policy_is_stricter_with_every_use_and_no_higher_limit() -> None:
    own_policy = make_full_policy("own", {"max_findings": [{"CRITICAL": 0, "HIGH": 3}], "exploited": [{"max": 1}]})
    lower = make_full_policy(
        "p", {"max_findings": [{"CRITICAL": 0, "HIGH": 2}], "exploited": [{"max": 0}], "cvss": [{"score": 9}]}
    )
    assert is_stricter(own_policy, own_policy)
    assert is_stricter(lower, own_policy)
    assert not is_stricter(own_policy, lower)
    weaker: tuple[dict[str, list[dict[str, object]]], ...] = (
        {"max_findings": [{"CRITICAL": 0, "HIGH": 3}]},
        {"max_findings": [{"CRITICAL": 0, "HIGH": 4}], "exploited": [{"max": 1}]},
        {"max_findings": [{"CRITICAL": 0, "HIGH": 0, "only_fixable": True}], "exploited": [{"max": 0}]},
        {"max_findings": [{"CRITICAL": 0, "HIGH": 0, "action": "warn"}], "exploited": [{"max": 0}]},
        {"max_findings": [{"CRITICAL": 0, "HIGH": 0, "grace_days": 1}], "exploited": [{"max": 0}]},
    )
    for uses in weaker:
        assert not is_stricter(make_full_policy("p", uses), own_policy), uses
    believing = make_policy("p", {**own_policy.rules, VEX_RULE: [{"authors": [{"name": "vendor"}]}]})
    assert not is_stricter(believing, own_policy)
    assert is_stricter(own_policy, believing)


@given(
    draw_inventory(), draw_advisories(), draw_server_policy(), draw_server_policy(), draw_requested_policy(), coverage
)
@settings(max_examples=scale_examples(60), deadline=None)
def test_a_provably_stricter_policy_approves_nothing_more(
    inventory: Inventory,
    published: list[Advisory],
    own_policy: Policy,
    drawn_policy: Policy,
    requested_policy: Policy,
    coverages: tuple[Coverage, ...],
) -> None:
    for policy in (drawn_policy, combine_policies(own_policy, requested_policy)):
        if is_stricter(policy, own_policy) and judge(inventory, published, policy, coverages).status is Status.APPROVED:
            assert judge(inventory, published, own_policy, coverages).status is Status.APPROVED


@given(st.sampled_from(CASES), st.sampled_from(CASES))
@settings(max_examples=scale_examples(100), deadline=None)
def test_every_rule_is_covered_by_the_property(case: VerdictCase, second: VerdictCase) -> None:
    if is_stricter(second.policy, case.policy):
        by_other = replace(case, policy=second.policy)
        if evaluate.judge(by_other, ECOSYSTEMS, RULES, should_remediate=False).status is Status.APPROVED:
            assert evaluate.judge(case, ECOSYSTEMS, RULES, should_remediate=False).status is Status.APPROVED


@pytest.mark.parametrize(
    ("aliases", "name"),
    [
        (["Quay.io", "quay.io.", "quay.io:443", "QUAY.IO.:0443"], "quay.io"),
        (["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO:443"], "docker.io"),
        (["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "127.1.2.3:5000", "LOCALHOST:05000"], "127.0.0.1:5000"),
        (["quay.io:8443"], "quay.io:8443"),
    ],
)
def test_aliases_of_a_registry_match_the_same_patterns(aliases: list[str], name: str) -> None:
    assert {normalize_registry(alias) for alias in aliases} == {name}
