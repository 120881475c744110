"""Contract of the store: what executions came to, by which they are listed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    make_approval,
    make_key,
    open_store_of_kind,
    start_at_gate,
)
from tests.store.images.test_images import CASE, VERDICT

from dockgate.delivery.model import (
    Answer,
    ApprovalId,
    ApprovalState,
    Approvers,
    ExecutionId,
    ExecutionResult,
    RunState,
    Vote,
)
from dockgate.delivery.pipeline import plan_next
from dockgate.gate.model import Status
from dockgate.identity.model import Principal, Role, Token
from dockgate.store import Store


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def reject_execution(store: Store, cause: str, status: Status) -> ExecutionId:
    """An execution that an approval stopped, for a verdict of this status."""
    execution = start_at_gate(store, cause)
    _, digest = store.verdicts.add(replace(VERDICT, status=status), CASE, cause, "web")
    gate = ApprovalId.from_action(make_key("Approve", execution=execution))
    store.approvals.add(make_approval(gate, image=IMAGE))
    store.executions.mark_waiting(make_key("Approve", execution=execution))
    store.executions.finish(make_key("Second", execution=execution), RunState.SUCCEEDED, NOW)
    store.approvals.settle(gate, Answer(ApprovalState.REJECTED, str(status), digest), LATER)
    store.executions.advance(execution, plan_next, LATER)
    return execution


def test_executions_are_listed_by_what_they_came_to(store: Store) -> None:
    expected = {
        ExecutionResult.REJECTED: reject_execution(store, "bad", Status.REJECTED),
        ExecutionResult.UNDETERMINED: reject_execution(store, "unknown", Status.UNDETERMINED),
        ExecutionResult.FAILED: start_at_gate(store, "broken"),
        ExecutionResult.WAITING: start_at_gate(store, "waits"),
        ExecutionResult.IN_PROGRESS: start_at_gate(store, "runs"),
        ExecutionResult.STOPPED: start_at_gate(store, "stopped"),
        ExecutionResult.SUCCEEDED: start_at_gate(store, "good"),
    }
    store.executions.stop(ExecutionId(expected[ExecutionResult.STOPPED]), "no", LATER)
    ends = {ExecutionResult.FAILED: RunState.FAILED, ExecutionResult.SUCCEEDED: RunState.SUCCEEDED}
    for result, state in ends.items():
        for action in ("Approve", "Second"):
            store.executions.finish(make_key(action, execution=expected[result]), state, LATER)
        store.executions.advance(ExecutionId(expected[result]), plan_next, LATER)
    for action in ("Approve", "Second"):
        store.executions.mark_waiting(make_key(action, execution=expected[ExecutionResult.WAITING]))
    store.executions.mark_waiting(make_key("Second", execution=expected[ExecutionResult.IN_PROGRESS]))
    for result in ExecutionResult:
        listed_executions = store.executions.list_for_pipeline("web", result=result)
        assert [execution.id for execution in listed_executions] == [expected[result]], result
        assert store.executions.count_for_pipeline("web", 10, result=result) == 1
    assert store.executions.count_for_pipeline("web", 3) == 3
    names = [expected[result] for result in (ExecutionResult.REJECTED, ExecutionResult.UNDETERMINED)]
    assert store.execution_results.list_rejections([*names, expected[ExecutionResult.FAILED]]) == {
        make_key("Approve", execution=names[0]): Status.REJECTED,
        make_key("Approve", execution=names[1]): Status.UNDETERMINED,
    }


def test_an_execution_that_fails_in_another_way_after_a_retry_is_listed_by_that(store: Store) -> None:
    execution = reject_execution(store, "bad", Status.REJECTED)
    store.executions.retry(execution, LATER)
    store.executions.finish(make_key("Approve", 2, execution), RunState.FAILED, LATER)
    store.executions.advance(execution, plan_next, LATER)
    (failed_execution,) = store.executions.list_for_pipeline("web", result=ExecutionResult.FAILED)
    assert failed_execution.id == execution
    assert store.executions.list_for_pipeline("web", result=ExecutionResult.REJECTED) == []


def test_what_an_execution_waits_for_is_returned_with_the_votes(store: Store) -> None:
    store.principals.add_first(Principal("ann", (Role.ADMIN,)), Token("a", "ann", "", "", ""))
    execution = start_at_gate(store)
    waiting = replace(make_approval(str(make_key("Approve"))), approvers=Approvers(count=2))
    store.approvals.add(waiting)
    store.executions.mark_waiting(make_key("Approve"))
    assert store.execution_results.list_waiting_approvals([execution]) == [(waiting, 0)]
    store.approvals.vote(Vote(waiting.id, "ann", True, "", NOW))
    assert store.execution_results.list_waiting_approvals([execution]) == [(waiting, 1)]
    assert store.execution_results.list_waiting_approvals([]) == []
