"""Contract of the store: policies. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.samples import ECOSYSTEMS, RULES, limit_findings, make_inventory, make_package
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, make_approval, open_store_of_kind

from dockgate.delivery.model import Action, ActionType, Answer, ApprovalState, Pipeline, Stage
from dockgate.gate import evaluate
from dockgate.gate.model import VerdictCase
from dockgate.gate.owner import Owner
from dockgate.gate.policy import make_policy
from dockgate.gate.policy_choice import AllowedPolicies, PolicyAssignment, Watch, WatchStart
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Role
from dockgate.shared.errors import ChangedError, ConflictError, NotFoundError
from dockgate.store import Store
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage

STRICT = make_policy("strict", {"max_findings": ({"HIGH": 0},)})
LAX = make_policy("strict", {"max_findings": ({"HIGH": 9},)})


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def make_gated_pipeline(policy: str) -> Pipeline:
    action = Action("Approve", ActionType.APPROVAL, configuration={"policy": policy})
    return Pipeline("web", (Stage("Gate", (action,)),))


def test_every_policy_change_is_a_version_with_author_time_and_comment(store: Store) -> None:
    for _ in range(2):
        first = store.policies.put(STRICT, "HIGH: 0", "ada", NOW, "to begin with")
    for _ in range(2):
        second = store.policies.put(LAX, "HIGH: 9", "bob", LATER)
    assert (first.version, first.changed_by, first.changed_at, first.comment) == (1, "ada", NOW, "to begin with")
    assert (second.version, second.rules, second.digest) == (2, LAX.rules, LAX.digest)
    assert store.policies.get("strict") == second
    assert store.policies.get("strict", 1) == first
    assert list(store.policies.list_versions("strict")) == [second, first]


def test_only_a_different_text_is_a_new_policy_version(store: Store) -> None:
    first = store.policies.put(STRICT, "HIGH: 0", "ada", NOW)
    assert store.policies.put(STRICT, "HIGH: 0", "bob", LATER, "again") == first
    second_version = store.policies.put(STRICT, "HIGH: 0 # really", "bob", LATER)
    assert (second_version.version, second_version.digest) == (2, first.digest)


def test_the_same_text_with_another_digest_is_a_new_policy_version(store: Store) -> None:
    store.policies.put(STRICT, "the same", "ada", NOW)
    assert store.policies.put(LAX, "the same", "ada", NOW).version == 2


def test_a_change_of_an_outdated_policy_version_is_rejected(store: Store) -> None:
    store.policies.put(STRICT, "one", "ada", NOW, expected_version=0)
    with pytest.raises(ChangedError, match="is at version 1"):
        store.policies.put(LAX, "two", "ada", NOW, expected_version=0)
    for _ in range(2):  # the second call finds its own change done
        store.policies.put(LAX, "two", "ada", NOW, expected_version=1)
    with pytest.raises(ChangedError):
        store.policies.remove("strict", "ada", NOW, expected_version=1)
    assert store.policies.get("strict").version == 2


def test_a_removed_policy_keeps_its_history(store: Store) -> None:
    first = store.policies.put(STRICT, "one", "ada", NOW)
    for _ in range(2):
        removed_version = store.policies.remove("strict", "bob", LATER, "too strict")
    assert (
        removed_version.version,
        removed_version.is_removed,
        removed_version.changed_by,
        removed_version.comment,
    ) == (2, True, "bob", "too strict")
    with pytest.raises(NotFoundError, match="bob removed it"):
        store.policies.get("strict")
    assert list(store.policies.list()) == []
    assert list(store.policies.list_versions("strict")) == [removed_version, first]
    assert store.policies.put(STRICT, "one", "ada", LATER, expected_version=0).version == 3
    assert [policy.version for policy in store.policies.list()] == [3]


def test_an_unknown_policy_cannot_be_removed_or_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.policies.remove("strict", "ada", NOW)
    with pytest.raises(NotFoundError):
        store.policies.get("strict")
    with pytest.raises(NotFoundError):
        store.policies.get("strict", 1)
    assert list(store.policies.list_versions("strict")) == []


def test_a_policy_that_a_pipeline_uses_cannot_be_removed(store: Store) -> None:
    store.policies.put(STRICT, "one", "ada", NOW)
    store.pipelines.put(make_gated_pipeline("strict"), NOW)
    with pytest.raises(ConflictError, match="the pipeline web"):
        store.policies.remove("strict", "ada", NOW)
    store.pipelines.put(make_gated_pipeline("default"), NOW)
    assert store.policies.remove("strict", "ada", NOW).is_removed


@pytest.mark.parametrize("policy", [PolicyReference("strict"), PolicyReference.make("strict", LAX.digest)])
def test_a_policy_of_a_waiting_approval_cannot_be_removed(store: Store, policy: PolicyReference) -> None:
    store.policies.put(STRICT, "one", "ada", NOW)
    waiting = store.approvals.add(replace(make_approval("elsewhere"), policy=policy))
    with pytest.raises(ConflictError, match="the approval elsewhere"):
        store.policies.remove("strict", "ada", NOW)
    store.approvals.settle(waiting.id, Answer(ApprovalState.REJECTED, "no"), NOW)
    assert store.policies.remove("strict", "ada", NOW).is_removed


def test_the_use_of_another_policy_does_not_prevent_a_removal(store: Store) -> None:
    store.policies.put(STRICT, "one", "ada", NOW)
    store.pipelines.put(make_gated_pipeline("strict-2"), NOW)
    for name in ("strict-2", "Strict"):
        policy = PolicyReference.make(name, LAX.digest)
        store.approvals.add(replace(make_approval(f"elsewhere by {name}"), policy=policy))
    assert store.policies.remove("strict", "ada", NOW).is_removed


def test_verdicts_are_listed_by_the_exact_name_of_their_policy(store: Store) -> None:
    policy = make_policy(PolicyReference.make("Strict", LAX.digest), limit_findings(HIGH=0).rules)
    inventory = replace(make_inventory(make_package("a")), image=IMAGE)
    snapshot = AdvisorySnapshot((), (Coverage("npm", True, (), NOW),))
    case = VerdictCase(IMAGE, policy, NOW, "0.1.0", (inventory,), snapshot)
    store.images.add_push(PushedImage("web", "latest", IMAGE, NOW))
    store.verdicts.add(evaluate.judge(case, ECOSYSTEMS, RULES), case, "cause", "web")
    for name, images in (("Strict", [IMAGE]), ("strict", []), ("Stric", [])):
        assert [record.image for _, record in store.verdicts.list_newest(name, 0, 9)] == images
    assert store.verdicts.find_last_approved_image("web", "Strict", "sha256:b") == IMAGE
    assert store.verdicts.find_last_approved_image("web", "strict", "sha256:b") is None


def test_the_policy_of_a_repository_is_kept_by_its_digest(store: Store) -> None:
    requested_policy = make_policy("repository", {"max_findings": ({"LOW": 0},)})
    for _ in range(2):
        store.policies.keep_requested(requested_policy)
    assert store.policies.read_by_digest(requested_policy.digest) == requested_policy
    with pytest.raises(NotFoundError):
        store.policies.read_by_digest(LAX.digest)


ASSIGNMENT = PolicyAssignment(
    "team", ("team/*",), "strict", (AllowedPolicies(("lax",), ("ci",), (Role.SECURITY,)), AllowedPolicies(("other",)))
)


def test_an_assignment_is_replaced_by_its_name(store: Store) -> None:
    for now in (NOW, LATER):  # the same again keeps who and when
        record = store.policy_assignments.put(ASSIGNMENT, "ada", now)
        assert (record.assignment, record.changed_at, record.changed_by) == (ASSIGNMENT, NOW, "ada")
    changed_assignment = replace(
        ASSIGNMENT,
        policy="default",
        owners=(Owner("ada"), Owner("role:admin")),
        watch=Watch(WatchStart.PULL, 30 * 86400),
    )
    for _ in range(2):
        store.policy_assignments.put(changed_assignment, "bob", LATER)
    first = PolicyAssignment("all", ("**",), "default")
    store.policy_assignments.put(first, "ada", NOW)
    records = store.policy_assignments.list()
    assert [record.assignment for record in records] == [first, changed_assignment]
    assert [record.changed_by for record in records] == ["ada", "bob"]
    for _ in range(2):
        store.policy_assignments.remove("team", "bob", LATER)
    assert [record.assignment for record in store.policy_assignments.list()] == [first]
    changes = [
        (change.name, change.assignment, change.changed_by) for change in store.policy_assignments.list_changes()
    ]
    assert changes == [
        ("team", ASSIGNMENT, "ada"),
        ("team", changed_assignment, "bob"),
        ("all", first, "ada"),
        ("team", None, "bob"),
    ]
    events = [event.body["detail"] for event in store.event_log.read() if event.detail_type == "assignment.changed"]
    assert [(event["assignment"], event["change"], event.get("policy"), event["by"]) for event in events] == [
        ("team", "applied", "strict", "ada"),
        ("team", "applied", "default", "bob"),
        ("all", "applied", "default", "ada"),
        ("team", "removed", None, "bob"),
    ]


def test_a_policy_that_an_assignment_names_cannot_be_removed(store: Store) -> None:
    store.policies.put(STRICT, "HIGH: 0", "ada", NOW)
    store.policy_assignments.put(PolicyAssignment("all", ("**",), "default", ALLOWING_STRICT), "ada", NOW)
    with pytest.raises(ConflictError, match="the policy assignment all"):
        store.policies.remove("strict", "ada", LATER)
    store.policy_assignments.remove("all", "ada", LATER)
    assert store.policies.remove("strict", "ada", LATER).is_removed


ALLOWING_STRICT = (AllowedPolicies(("strict",)),)
