"""Pairs of transactions on approvals and executions, and what must hold after both."""

from dataclasses import replace

from tests.store.factories import (
    IMAGE,
    NOW,
    PIPELINE,
    make_approval,
    make_key,
    start_at_gate,
    start_execution,
)
from tests.store.images.test_images import CASE, VERDICT
from tests.store.interleaving import Outcome, Pair, is_only_error

from dockgate.delivery.model import ActionKey, Answer, ApprovalId, ApprovalState, RunState, Vote
from dockgate.delivery.pipeline import plan_next
from dockgate.gate.model import Status
from dockgate.identity.model import Principal, Role, Token
from dockgate.shared.errors import ConflictError
from dockgate.store import Store
from dockgate.store.records import OutboxKind

APPROVED = Answer(ApprovalState.APPROVED, "nothing found", "sha256:verdict")
REJECTED = Answer(ApprovalState.REJECTED, "1 CRITICAL finding", "sha256:verdict")


def make_waiting_approval(store: Store, number: int) -> ActionKey:
    """An approval that waits, with its action, in an execution of its own."""
    action = make_key("Approve", execution=start_at_gate(store, f"push {number}"))
    store.approvals.add(make_approval(str(action)))
    store.executions.mark_waiting(action)
    return action


def make_failed_build(store: Store, number: int) -> ActionKey:
    """A build that has failed, in an execution that has not noticed."""
    execution = start_execution(store, f"push {number}")
    store.executions.finish(make_key("Source", execution=execution), RunState.SUCCEEDED, NOW)
    store.executions.advance(execution, plan_next, NOW)
    build = make_key("Build", execution=execution)
    store.executions.finish(build, RunState.FAILED, NOW)
    return build


def race_two_answers(store: Store, peer: Store, number: int) -> Pair:
    action = make_waiting_approval(store, number)

    def check(approval: Outcome, rejection: Outcome) -> None:
        assert (approval, rejection) in ((True, False), (False, True))
        state, end = store.approvals.get(ApprovalId.from_action(action)), store.executions.get_run(action)
        assert state.state is (ApprovalState.APPROVED if approval else ApprovalState.REJECTED)
        assert end.state is (RunState.SUCCEEDED if approval else RunState.FAILED)
        assert end.reason == state.summary
        attestations = store.outbox.list_entries(OutboxKind.ATTESTATION)
        assert bool([entry for entry in attestations if entry.image == state.image and approval]) == approval

    return Pair(
        lambda: store.approvals.settle(ApprovalId.from_action(action), APPROVED, NOW),
        lambda: peer.approvals.settle(ApprovalId.from_action(action), REJECTED, NOW),
        check,
    )


def race_two_verdicts(store: Store, peer: Store, number: int) -> Pair:
    """Two processes judge an image differently for the same approval."""
    action = make_waiting_approval(store, number)
    image = f"{IMAGE[:-4]}{number:04}"

    def answer(answering_store: Store, status: Status, answer: Answer) -> Answer | None:
        case = replace(CASE, image=image)
        verdict = replace(VERDICT, image=image, status=status)
        unstored_verdict = answering_store.verdicts.prepare(verdict, case, str(action), "web")
        return answering_store.approvals.settle_by_verdict(
            [ApprovalId.from_action(action)], unstored_verdict, lambda first: replace(answer, verdict=first[1]), NOW
        )

    def check(approval: Outcome, rejection: Outcome) -> None:
        assert sum(isinstance(answer, Answer) for answer in (approval, rejection)) == 1
        (record,) = store.verdicts.list_of_image(image)
        settled_approval = store.approvals.get(ApprovalId.from_action(action))
        assert settled_approval.verdict == record.digest
        assert settled_approval.state is (ApprovalState.APPROVED if approval else ApprovalState.REJECTED)
        assert record.status == (Status.APPROVED if approval else Status.REJECTED)

    return Pair(
        lambda: answer(store, Status.APPROVED, APPROVED), lambda: answer(peer, Status.REJECTED, REJECTED), check
    )


def answer_and_stop(store: Store, peer: Store, number: int) -> Pair:
    action = make_waiting_approval(store, number)

    def check(answer: Outcome, stop: Outcome) -> None:
        assert stop is None
        states = store.approvals.get(ApprovalId.from_action(action)).state, store.executions.get_run(action).state
        cancelled_action, approved_action = (
            (ApprovalState.CANCELLED, RunState.STOPPED),
            (ApprovalState.APPROVED, RunState.SUCCEEDED),
        )
        assert states == (approved_action if answer else cancelled_action)
        assert store.executions.get(action.execution).state is RunState.STOPPED

    return Pair(
        lambda: store.approvals.settle(ApprovalId.from_action(action), APPROVED, NOW),
        lambda: peer.executions.stop(action.execution, "not now", NOW),
        check,
    )


def vote_and_answer(store: Store, peer: Store, number: int) -> Pair:
    action = ApprovalId.from_action(make_waiting_approval(store, number))
    if not store.principals.has_any():
        store.principals.add_first(Principal("ann", (Role.ADMIN,)), Token("a", "ann", "", "", ""))

    def check(vote: Outcome, answer: Outcome) -> None:
        if answer:
            assert isinstance(vote, ConflictError)
            assert not store.approvals.list_votes(action)
        assert store.approvals.get(action).state is (ApprovalState.APPROVED if answer else ApprovalState.REJECTED)

    no = Vote(action, "ann", False, "not before the holidays", NOW)
    return Pair(lambda: store.approvals.vote(no), lambda: peer.approvals.settle(action, APPROVED, NOW), check)


def request_and_stop(store: Store, peer: Store, number: int) -> Pair:
    action = make_key("Approve", execution=start_at_gate(store, f"push {number}"))

    def check(*_: Outcome) -> None:
        assert store.approvals.get(ApprovalId.from_action(action)).state is ApprovalState.CANCELLED

    return Pair(
        lambda: store.approvals.add(make_approval(str(action))),
        lambda: peer.executions.stop(action.execution, "not now", NOW),
        check,
    )


def race_two_advances(store: Store, peer: Store, number: int) -> Pair:
    execution = start_execution(store, f"push {number}")
    store.executions.finish(make_key("Source", execution=execution), RunState.SUCCEEDED, NOW)

    def check(*outcomes: Outcome) -> None:
        assert [list(outcome) for outcome in outcomes] == [[make_key("Build", execution=execution)]] * 2

    return Pair(
        lambda: store.executions.advance(execution, plan_next, NOW),
        lambda: peer.executions.advance(execution, plan_next, NOW),
        check,
    )


def advance_and_retry(store: Store, peer: Store, number: int) -> Pair:
    build = make_failed_build(store, number)

    def check(advance: Outcome, retry: Outcome) -> None:
        next_attempt = replace(build, attempt=2)
        assert list(retry) == [next_attempt]
        assert store.executions.get(build.execution).state is RunState.IN_PROGRESS

    return Pair(
        lambda: store.executions.advance(build.execution, plan_next, NOW),
        lambda: peer.executions.retry(build.execution, NOW),
        check,
    )


def advance_and_stop(store: Store, peer: Store, number: int) -> Pair:
    execution = start_execution(store, f"push {number}")
    store.executions.finish(make_key("Source", execution=execution), RunState.SUCCEEDED, NOW)

    def check(*_: Outcome) -> None:
        assert store.executions.get(execution).state is RunState.STOPPED
        assert all(run.state.is_final for run in store.executions.list_runs(execution))

    return Pair(
        lambda: store.executions.advance(execution, plan_next, NOW),
        lambda: peer.executions.stop(execution, "not now", NOW),
        check,
    )


def race_two_retries(store: Store, peer: Store, number: int) -> Pair:
    build = make_failed_build(store, number)

    def check(*outcomes: Outcome) -> None:
        assert is_only_error(outcomes, ConflictError)
        assert store.executions.get(build.execution).trigger["retried_by"] in ("ann", "ben")

    return Pair(
        lambda: store.executions.retry(build.execution, NOW, "ann"),
        lambda: peer.executions.retry(build.execution, NOW, "ben"),
        check,
    )


def race_two_starts(store: Store, peer: Store, number: int) -> Pair:
    store.pipelines.put(PIPELINE, NOW)

    def check(*outcomes: Outcome) -> None:
        assert sorted(execution.number for execution in outcomes) == [2 * number - 1, 2 * number]

    return Pair(
        lambda: store.executions.start("web", f"push {number}", {}, NOW),
        lambda: peer.executions.start("web", f"click {number}", {}, NOW),
        check,
    )


def race_two_starts_for_one_cause(store: Store, peer: Store, number: int) -> Pair:
    store.pipelines.put(PIPELINE, NOW)

    def check(*outcomes: Outcome) -> None:
        assert [execution.number for execution in outcomes] == [number] * 2

    start = f"push {number}"
    return Pair(
        lambda: store.executions.start("web", start, {}, NOW),
        lambda: peer.executions.start("web", start, {}, NOW),
        check,
    )


def race_two_pipeline_versions(store: Store, peer: Store, number: int) -> Pair:
    changed_pipeline = replace(PIPELINE, stages=PIPELINE.stages[: 2 - number % 2])
    store.pipelines.put(replace(PIPELINE, stages=PIPELINE.stages[:1]), NOW)
    before = store.pipelines.put(PIPELINE, NOW).version

    def check(*outcomes: Outcome) -> None:
        assert [pipeline.version for pipeline in outcomes] == [before + 1] * 2

    return Pair(
        lambda: store.pipelines.put(changed_pipeline, NOW), lambda: peer.pipelines.put(changed_pipeline, NOW), check
    )
