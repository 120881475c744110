"""Pairs of write transactions that meet: as if one had run after the other, wherever the first one is stopped."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.postgres import cluster
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    PIPELINE,
    approval,
    at_gate,
    key,
    opened,
    started,
)
from tests.store.interleaving import LONGEST, Outcome, Pair, run_interleaved
from tests.store.risks import reject

from dockgate.delivery.model import ActionKey, Answer, ApprovalState, RunState, Vote
from dockgate.delivery.pipeline import plan_next
from dockgate.delivery.service_model import Service, ServiceChange, TaskDefinition
from dockgate.events.envelope import NewEvent
from dockgate.events.model import Event, EventKind
from dockgate.gate.model import Waiver
from dockgate.gate.policy import make_policy
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import Principal, Role, Token
from dockgate.shared.errors import ChangedError, ConflictError, DeployError
from dockgate.shared.references import ImageReference
from dockgate.store import Store, migrate, open_store
from dockgate.store.engine import Database
from dockgate.store.records import OutboxEntry, OutboxKind, VexRecord

APPROVED = Answer(ApprovalState.APPROVED, "nothing found", "sha256:verdict")
REJECTED = Answer(ApprovalState.REJECTED, "1 CRITICAL finding", "sha256:verdict")
DEFINITION = TaskDefinition("web", 0, "app", None, environment={"MODE": "demo"})
Stores = tuple[Store, Store]
Scenario = Callable[[Store, Store, int], Pair]


@pytest.fixture(params=FACTORIES)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Two on the same tables, as two servers have them."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(opened(request.param, tmp_path)) for _ in range(2))


def waiting_approval(store: Store, number: int) -> ActionKey:
    """An approval that waits, with its action, in an execution of its own."""
    action = key("Approve", execution=at_gate(store, f"push {number}"))
    store.approvals.add(approval(str(action)))
    store.executions.wait(action)
    return action


def failed_build(store: Store, number: int) -> ActionKey:
    """A build that has failed, in an execution that has not noticed."""
    execution = started(store, f"push {number}")
    store.executions.finish(key("Source", execution=execution), RunState.SUCCEEDED, NOW)
    store.executions.advance(execution, plan_next, NOW)
    build = key("Build", execution=execution)
    store.executions.finish(build, RunState.FAILED, NOW)
    return build


def service(store: Store, number: int) -> str:
    return store.services.put(Service(f"web{number}", "podman", 1, 0), DEFINITION).name


def built(number: int) -> TaskDefinition:
    return replace(DEFINITION, image=ImageReference("127.0.0.1:5000/web", f"sha256:{number}"))


def only_error(outcomes: tuple[Outcome, Outcome], kind: type[Exception]) -> bool:
    return [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [kind]


# --- approvals and executions ----------------------------------------------------------------------------------------


def two_answers(store: Store, peer: Store, number: int) -> Pair:
    action = waiting_approval(store, number)

    def check(approved: Outcome, rejected: Outcome) -> None:
        assert (approved, rejected) in ((True, False), (False, True))
        state, end = store.approvals.get(str(action)), store.executions.run(action)
        assert state.state is (ApprovalState.APPROVED if approved else ApprovalState.REJECTED)
        assert end.state is (RunState.SUCCEEDED if approved else RunState.FAILED)
        assert end.reason == state.summary
        attested = store.outbox.entries(OutboxKind.ATTESTATION)
        assert bool([entry for entry in attested if entry.image == state.image and approved]) == approved

    return Pair(
        lambda: store.approvals.settle(str(action), APPROVED, NOW),
        lambda: peer.approvals.settle(str(action), REJECTED, NOW),
        check,
    )


def answer_and_stop(store: Store, peer: Store, number: int) -> Pair:
    action = waiting_approval(store, number)

    def check(answered: Outcome, stopped: Outcome) -> None:
        assert stopped is None
        states = store.approvals.get(str(action)).state, store.executions.run(action).state
        cancelled, approved = (
            (ApprovalState.CANCELLED, RunState.STOPPED),
            (ApprovalState.APPROVED, RunState.SUCCEEDED),
        )
        assert states == (approved if answered else cancelled)
        assert store.executions.get(action.execution).state is RunState.STOPPED

    return Pair(
        lambda: store.approvals.settle(str(action), APPROVED, NOW),
        lambda: peer.executions.stop(action.execution, "not now", NOW),
        check,
    )


def vote_and_answer(store: Store, peer: Store, number: int) -> Pair:
    action = str(waiting_approval(store, number))
    if not store.principals.has_any():
        store.principals.add_first(Principal("ann", (Role.ADMIN,)), Token("a", "ann", "", "", ""))

    def check(vote: Outcome, answered: Outcome) -> None:
        if answered:
            assert isinstance(vote, ConflictError)
            assert not store.approvals.votes(action)
        assert store.approvals.get(action).state is (ApprovalState.APPROVED if answered else ApprovalState.REJECTED)

    no = Vote(action, "ann", False, "not before the holidays", NOW)
    return Pair(lambda: store.approvals.vote(no), lambda: peer.approvals.settle(action, APPROVED, NOW), check)


def request_and_stop(store: Store, peer: Store, number: int) -> Pair:
    action = key("Approve", execution=at_gate(store, f"push {number}"))

    def check(*_: Outcome) -> None:
        assert store.approvals.get(str(action)).state is ApprovalState.CANCELLED

    return Pair(
        lambda: store.approvals.add(approval(str(action))),
        lambda: peer.executions.stop(action.execution, "not now", NOW),
        check,
    )


def two_advances(store: Store, peer: Store, number: int) -> Pair:
    execution = started(store, f"push {number}")
    store.executions.finish(key("Source", execution=execution), RunState.SUCCEEDED, NOW)

    def check(*outcomes: Outcome) -> None:
        assert [list(outcome) for outcome in outcomes] == [[key("Build", execution=execution)]] * 2

    return Pair(
        lambda: store.executions.advance(execution, plan_next, NOW),
        lambda: peer.executions.advance(execution, plan_next, NOW),
        check,
    )


def advance_and_retry(store: Store, peer: Store, number: int) -> Pair:
    build = failed_build(store, number)

    def check(advanced: Outcome, retried: Outcome) -> None:
        again = replace(build, attempt=2)
        assert list(retried) == [again]
        assert store.executions.get(build.execution).state is RunState.IN_PROGRESS

    return Pair(
        lambda: store.executions.advance(build.execution, plan_next, NOW),
        lambda: peer.executions.retry(build.execution, NOW),
        check,
    )


def advance_and_stop(store: Store, peer: Store, number: int) -> Pair:
    execution = started(store, f"push {number}")
    store.executions.finish(key("Source", execution=execution), RunState.SUCCEEDED, NOW)

    def check(*_: Outcome) -> None:
        assert store.executions.get(execution).state is RunState.STOPPED
        assert all(run.state.is_final for run in store.executions.runs(execution))

    return Pair(
        lambda: store.executions.advance(execution, plan_next, NOW),
        lambda: peer.executions.stop(execution, "not now", NOW),
        check,
    )


def two_retries(store: Store, peer: Store, number: int) -> Pair:
    build = failed_build(store, number)

    def check(*outcomes: Outcome) -> None:
        assert only_error(outcomes, ConflictError)
        assert store.executions.get(build.execution).trigger["retried_by"] in ("ann", "ben")

    return Pair(
        lambda: store.executions.retry(build.execution, NOW, "ann"),
        lambda: peer.executions.retry(build.execution, NOW, "ben"),
        check,
    )


def two_starts(store: Store, peer: Store, number: int) -> Pair:
    store.pipelines.put(PIPELINE, NOW)

    def check(*outcomes: Outcome) -> None:
        assert sorted(started.number for started in outcomes) == [2 * number - 1, 2 * number]

    return Pair(
        lambda: store.executions.start("web", f"push {number}", {}, NOW),
        lambda: peer.executions.start("web", f"click {number}", {}, NOW),
        check,
    )


def two_starts_for_one_cause(store: Store, peer: Store, number: int) -> Pair:
    store.pipelines.put(PIPELINE, NOW)

    def check(*outcomes: Outcome) -> None:
        assert [started.number for started in outcomes] == [number] * 2

    start = f"push {number}"
    return Pair(
        lambda: store.executions.start("web", start, {}, NOW),
        lambda: peer.executions.start("web", start, {}, NOW),
        check,
    )


def two_pipeline_versions(store: Store, peer: Store, number: int) -> Pair:
    changed = replace(PIPELINE, stages=PIPELINE.stages[: 2 - number % 2])
    store.pipelines.put(replace(PIPELINE, stages=PIPELINE.stages[:1]), NOW)
    before = store.pipelines.put(PIPELINE, NOW).version

    def check(*outcomes: Outcome) -> None:
        assert [pipeline.version for pipeline in outcomes] == [before + 1] * 2

    return Pair(lambda: store.pipelines.put(changed, NOW), lambda: peer.pipelines.put(changed, NOW), check)


# --- services --------------------------------------------------------------------------------------------------------


def two_new_services(store: Store, peer: Store, number: int) -> Pair:
    new = Service(f"web{number}", "podman", 1, 0)

    def check(*outcomes: Outcome) -> None:
        assert outcomes == (replace(new, revision=1),) * 2
        assert len(store.services.definitions(new.name)) == 1

    return Pair(lambda: store.services.put(new, DEFINITION), lambda: peer.services.put(new, replace(DEFINITION)), check)


def two_revisions(store: Store, peer: Store, number: int) -> Pair:
    name = service(store, number)

    def check(*outcomes: Outcome) -> None:
        assert sorted(definition.revision for definition in outcomes) == [2, 3]

    return Pair(
        lambda: store.services.register(name, built(1), "web-1"),
        lambda: peer.services.register(name, built(2), "web-2"),
        check,
    )


def two_deploys(store: Store, peer: Store, number: int) -> Pair:
    """The newer execution deploys first, and the older one while that has not committed."""
    return _deploys(store, peer, number, older_first=False)


def two_deploys_in_order(store: Store, peer: Store, number: int) -> Pair:
    return _deploys(store, peer, number, older_first=True)


def _deploys(store: Store, peer: Store, number: int, *, older_first: bool) -> Pair:
    name = service(store, number)
    older, newer = (started(store, f"push {number} {which}") for which in ("older", "newer"))
    revisions = {
        deploy: store.services.register(name, built(at), deploy).revision for at, deploy in enumerate((older, newer))
    }
    first, second = (older, newer) if older_first else (newer, older)

    def check(*outcomes: Outcome) -> None:
        assert store.services.deployed_by(name) == newer
        assert store.services.get(name).revision == revisions[newer]
        of_older = outcomes[0 if older_first else 1]
        assert of_older is None or isinstance(of_older, DeployError)

    return Pair(
        lambda: store.services.set_revision(name, revisions[first], first),
        lambda: peer.services.set_revision(name, revisions[second], second),
        check,
    )


def two_rollouts(store: Store, peer: Store, number: int) -> Pair:
    name = service(store, number)

    def check(*outcomes: Outcome) -> None:
        assert sorted(rollout.number for rollout in outcomes) == [1, 2]
        (going,) = (rollout for rollout in store.rollouts.list(name) if not rollout.state.is_final)
        assert (going.desired_count, going.definition.environment) == (3, {"MODE": "real"})

    changed = replace(DEFINITION, environment={"MODE": "real"})
    return Pair(
        lambda: store.rollouts.begin(name, ServiceChange(desired_count=3), "ann", NOW),
        lambda: peer.rollouts.begin(name, ServiceChange(definition=changed), "ben", NOW),
        check,
    )


def rollout_and_deploy(store: Store, peer: Store, number: int) -> Pair:
    name = service(store, number)
    changed = replace(DEFINITION, environment={"MODE": "real"})
    rollout = store.rollouts.begin(name, ServiceChange(definition=changed), "ann", NOW)
    assert rollout is not None
    of_rollout = store.services.register(name, changed, "rollout").revision
    of_deploy = store.services.register(name, built(1), "web-1").revision

    def check(*outcomes: Outcome) -> None:
        assert only_error(outcomes, ChangedError)
        revision = of_deploy if isinstance(outcomes[0], ChangedError) else of_rollout
        assert store.services.get(name).revision == revision

    return Pair(
        lambda: store.rollouts.end(rollout, RunState.SUCCEEDED, of_rollout, "", NOW),
        lambda: peer.services.set_revision(name, of_deploy, "web-1"),
        check,
    )


SOON, LATE = "2026-12-24T10:00:00.000Z", "2026-12-25T10:00:00.000Z"


def two_risks(store: Store, peer: Store, number: int) -> Pair:
    name = service(store, number)

    def check(*_: Outcome) -> None:
        events = [event for event in store.event_log.read(0, 10_000) if event.subject == f"service {name}"]
        assert len(events) == 1
        assert store.services.get(name).at_risk_until == SOON

    def announced(until: str) -> list[NewEvent]:
        return [NewEvent(f"{name}/{until}", "dockgate", "service.at_risk", f"service {name}", NOW, {})]

    return Pair(
        lambda: reject(store, name, "CVE-1", SOON, announced(SOON)),
        lambda: reject(peer, name, "CVE-1", LATE, announced(LATE)),
        check,
    )


# --- policies, waivers and people ------------------------------------------------------------------------------------


def two_policy_versions(store: Store, peer: Store, number: int) -> Pair:
    policy = make_policy(f"strict{number}", {"max_findings": ({"HIGH": 0},)})

    def check(*outcomes: Outcome) -> None:
        assert sorted(version.version for version in outcomes) == [1, 2]

    return Pair(
        lambda: store.policies.put(policy, "HIGH: 0", "ann", NOW),
        lambda: peer.policies.put(policy, "HIGH: 0 # none", "ben", NOW),
        check,
    )


def two_changes_of_one_policy_version(store: Store, peer: Store, number: int) -> Pair:
    policy = make_policy(f"strict{number}", {"max_findings": ({"HIGH": 0},)})
    store.policies.put(policy, "HIGH: 0", "ann", NOW)

    def check(*outcomes: Outcome) -> None:
        assert only_error(outcomes, ChangedError)

    return Pair(
        lambda: store.policies.put(policy, "HIGH: 0 # ann", "ann", NOW, expected=1),
        lambda: peer.policies.remove(policy.name, "ben", NOW, expected=1),
        check,
    )


def two_assignments(store: Store, peer: Store, number: int) -> Pair:
    name = f"web{number}"
    first, second = (PolicyAssignment(name, ("web-*",), policy) for policy in ("strict", "lax"))

    def check(*outcomes: Outcome) -> None:
        assert {record.assignment for record in outcomes} == {first, second}
        assert len([record for record in store.policy_assignments.list() if record.assignment.name == name]) == 1

    return Pair(
        lambda: store.policy_assignments.put(first, "ann", NOW),
        lambda: peer.policy_assignments.put(second, "ben", NOW),
        check,
    )


def two_revocations(store: Store, peer: Store, number: int) -> Pair:
    waiver = Waiver(f"w{number}", "ana", "It is never called.", "CVE-2024-1", until=LATER)
    store.waivers.add(waiver)

    def check(*outcomes: Outcome) -> None:
        assert outcomes[0] == outcomes[1] == store.waivers.get(waiver.id)

    return Pair(
        lambda: store.waivers.revoke(waiver.id, "ann", NOW), lambda: peer.waivers.revoke(waiver.id, "ben", LATER), check
    )


def revocation_and_announcement(store: Store, peer: Store, number: int) -> Pair:
    waiver = Waiver(f"w{number}", "ana", "It is never called.", "CVE-2024-1", until=LATER)
    store.waivers.add(waiver)

    def check(*_: Outcome) -> None:
        record = store.waivers.get(waiver.id)
        assert (record.revoked_by, record.announced_at) == ("ann", LATER)

    return Pair(
        lambda: store.waivers.revoke(waiver.id, "ann", NOW),
        lambda: peer.waivers.mark_announced(waiver.id, LATER),
        check,
    )


def two_envelopes_of_one_vex_document(store: Store, peer: Store, number: int) -> Pair:
    record = VexRecord(f"sha256:{number}", IMAGE, "openvex", "Vendor", "", NOW, envelopes=("one",))
    store.vex.add(record, b"{}", ())

    def check(*_: Outcome) -> None:
        (stored,) = (stored for stored in store.vex.list() if stored.document == record.document)
        assert sorted(stored.envelopes) == ["one", "three", "two"]

    return Pair(
        lambda: store.vex.add(replace(record, envelopes=("two",)), b"{}", ()),
        lambda: peer.vex.add(replace(record, envelopes=("three",)), b"{}", ()),
        check,
    )


def two_removals_of_the_last_admins(store: Store, peer: Store, number: int) -> Pair:
    ann, ben = (Principal(f"{name}{number}", (Role.ADMIN,)) for name in ("ann", "ben"))
    before = store.principals.list()
    for principal in (ann, ben):
        store.principals.add(principal)
    for principal in before:
        store.principals.disable(principal.name, NOW)

    def check(*outcomes: Outcome) -> None:
        assert only_error(outcomes, ConflictError)
        admins = [there for there in store.principals.list() if Role.ADMIN in there.roles and not there.disabled_at]
        assert len(admins) == 1

    return Pair(
        lambda: store.principals.disable(ann.name, NOW),
        lambda: peer.principals.set_roles(ben.name, (Role.DEVELOPER,)),
        check,
    )


# --- images, heads and the outbox ------------------------------------------------------------------------------------


def two_scan_requests(store: Store, peer: Store, number: int) -> Pair:
    image = f"sha256:{number}"

    def check(*outcomes: Outcome) -> None:
        assert [scan.number for scan in outcomes] == [1, 1]

    return Pair(
        lambda: store.images.request_scan(image, "web", NOW),
        lambda: peer.images.request_scan(image, "web", LATER),
        check,
    )


def two_scans_after_a_failed_one(store: Store, peer: Store, number: int) -> Pair:
    image = f"sha256:{number}"
    store.images.request_scan(image, "web", NOW)
    store.images.finish_scan(image, 1, (), "no such image", NOW)

    def check(*outcomes: Outcome) -> None:
        assert outcomes[0] == outcomes[1] == store.images.scan(image)
        assert outcomes[0].number == 2

    return Pair(
        lambda: store.images.request_scan(image, "web", NOW),
        lambda: peer.images.request_scan(image, "web", LATER),
        check,
    )


def two_moves_of_one_tag(store: Store, peer: Store, number: int) -> Pair:
    def push(server: Store, digest: str, now: str) -> Any:
        detail = {"repository": "web", "tag": f"v{number}", "digest": f"sha256:{digest}{number}"}
        return server.images.accept_push(Event(f"{digest}{number}", EventKind.IMAGE_PUSH, detail, now))

    push(store, "a", "2026-11-24T09:00:00.000Z")

    def check(*_: Outcome) -> None:
        moves = set(store.images.tag_moves(f"sha256:b{number}")) | set(store.images.tag_moves(f"sha256:c{number}"))
        assert len({move.previous for move in moves}) == len(moves) == 2

    return Pair(lambda: push(store, "b", NOW), lambda: push(peer, "c", LATER), check)


def two_looks_at_one_branch(store: Store, peer: Store, number: int) -> Pair:
    def check(*outcomes: Outcome) -> None:
        assert sorted(len(events) for events in outcomes) == [0, 1]

    heads = {"main": f"{number:040}"}
    return Pair(
        lambda: store.events.record_heads("web", heads, NOW), lambda: peer.events.record_heads("web", heads, NOW), check
    )


def two_claims(store: Store, peer: Store, number: int) -> Pair:
    receivers = (f"x{number}", f"y{number}")
    store.outbox.purge(OutboxKind.EVENT, "9999")
    store.outbox.put(
        [
            OutboxEntry(OutboxKind.EVENT, f"{entry}", receiver, {}, due_since=NOW, next_at=NOW)
            for receiver in receivers
            for entry in range(3)
        ]
    )

    def claim(server: Store, owner: str) -> list[tuple[str, str]]:
        entries = server.outbox.claim(OutboxKind.EVENT, NOW, owner, 2, 3)
        return [(entry.key, entry.receiver) for entry in entries]

    def check(first: Outcome, second: Outcome) -> None:
        claimed = first + second
        assert len(set(claimed)) == len(claimed) == 4
        assert sorted(receiver for _, receiver in claimed) == sorted(receivers * 2)

    return Pair(lambda: claim(store, "a"), lambda: claim(peer, "b"), check)


SCENARIOS: tuple[Scenario, ...] = (
    two_answers,
    answer_and_stop,
    vote_and_answer,
    request_and_stop,
    two_advances,
    advance_and_retry,
    advance_and_stop,
    two_retries,
    two_starts,
    two_starts_for_one_cause,
    two_pipeline_versions,
    two_new_services,
    two_revisions,
    two_deploys,
    two_deploys_in_order,
    two_rollouts,
    rollout_and_deploy,
    two_risks,
    two_policy_versions,
    two_changes_of_one_policy_version,
    two_assignments,
    two_revocations,
    revocation_and_announcement,
    two_envelopes_of_one_vex_document,
    two_removals_of_the_last_admins,
    two_scan_requests,
    two_scans_after_a_failed_one,
    two_moves_of_one_tag,
    two_looks_at_one_branch,
    two_claims,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_two_transactions_that_meet_have_the_effect_of_one_after_the_other(stores: Stores, scenario: Scenario) -> None:
    databases = stores[0].database, stores[1].database
    for statement in range(1, LONGEST):
        if not run_interleaved(databases, scenario(*stores, statement), statement):
            return
    raise AssertionError("the transaction has more statements")


@pytest.mark.parametrize("statement", [1, 2, 20])
@pytest.mark.parametrize("kind", FACTORIES)
def test_two_servers_that_start_at_once_migrate_one_database_once(kind: str, statement: int, tmp_path: Path) -> None:
    if kind == "sqlite":
        urls = [f"sqlite:///{tmp_path}/dockgate.db"] * 2
    else:
        name = f"empty_{abs(hash(str(tmp_path)))}"
        cluster().execute("CREATE DATABASE {}", name)
        urls = [cluster().url(name)] * 2
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(Database.from_url(url))) for url in urls)

        def check(*outcomes: Outcome) -> None:
            assert outcomes == (None, None)
            with first.read() as connection:
                assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1

        assert run_interleaved((first, second), Pair(lambda: migrate(first), lambda: migrate(second), check), statement)
        stores = [stack.enter_context(closing(open_store(tmp_path, url))) for url in urls]
        assert len({store.id for store in stores}) == 1
