"""Contract of the store: executions. Each changing call is made twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.factories import (
    FACTORIES,
    LATER,
    NOW,
    PIPELINE,
    make_approval,
    make_key,
    open_store_of_kind,
    start_at_gate,
    start_execution,
)

from dockgate.delivery.model import (
    ActionKey,
    ApprovalId,
    ApprovalState,
    ExecutionId,
    ExecutionResult,
    Pipeline,
    RunState,
)
from dockgate.delivery.pipeline import Plan, plan_next
from dockgate.delivery.trigger import list_starters
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store import Store


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def list_states(store: Store, execution: ExecutionId) -> dict[str, RunState]:
    return {f"{run.key.action}/{run.key.attempt}": run.state for run in store.executions.list_runs(execution)}


def test_executions_are_numbered_and_hold_their_trigger(store: Store) -> None:
    store.pipelines.put(PIPELINE, NOW)
    first = store.executions.start("web", "push/1", {"commit": "c0ffee"}, NOW)
    assert (first.id, first.number, first.pipeline_version, first.state) == ("web-1", 1, 1, RunState.IN_PROGRESS)
    assert (first.trigger, first.started_at, first.finished_at) == ({"commit": "c0ffee"}, NOW, None)
    assert store.executions.start("web", "push/2", {}, NOW).id == "web-2"
    assert store.executions.get(ExecutionId("web-1")) == first
    assert [execution.number for execution in store.executions.list_for_pipeline("web")] == [2, 1]
    assert [execution.number for execution in store.executions.list_for_pipeline("web", limit=1)] == [2]
    assert [execution.number for execution in store.executions.list_for_pipeline("web", after=2)] == [1]
    oldest_first = store.executions.list_for_pipeline("web", is_newest_first=False)
    assert [execution.number for execution in oldest_first] == [1, 2]
    assert [
        execution.number for execution in store.executions.list_for_pipeline("web", after=1, is_newest_first=False)
    ] == [2]
    assert list(store.executions.list_runnable()) == ["web-1", "web-2"]


def test_a_cause_starts_one_execution_of_each_pipeline(store: Store) -> None:
    store.pipelines.put(PIPELINE, NOW)
    store.pipelines.put(Pipeline("other", PIPELINE.stages), NOW)
    first = store.executions.start("web", "push/1", {"a": "1"}, NOW)
    assert store.executions.start("web", "push/1", {"a": "2"}, LATER) == first
    assert store.executions.start("other", "push/1", {}, NOW).id == "other-1"
    store.executions.start("web", "push/2", {}, NOW)
    assert [execution.id for execution in store.executions.list_caused_by("push/1")] == ["other-1", "web-1"]
    assert list(store.executions.list_caused_by("push/3")) == []


def test_an_execution_keeps_the_version_it_started_with(store: Store) -> None:
    execution = start_execution(store)
    store.pipelines.put(Pipeline("web", PIPELINE.stages[:1]), LATER)
    versions: list[Pipeline] = []

    def look(pipeline: Pipeline, *_: object) -> Plan:
        versions.append(pipeline)
        return Plan()

    store.executions.advance(execution, look, LATER)
    assert versions == [PIPELINE]
    assert store.executions.start("web", "later", {}, LATER).pipeline_version == 2


def test_unknown_names_are_reported_with_the_next_command(store: Store) -> None:
    with pytest.raises(NotFoundError, match="'nothing'") as error_info:
        store.executions.start("nothing", "cause", {}, NOW)
    assert "dockgate pipeline list" in str(error_info.value.advice)
    for ask in (
        lambda: store.executions.get(ExecutionId("web-9")),
        lambda: store.executions.advance(ExecutionId("web-9"), plan_next, NOW),
        lambda: store.executions.retry(ExecutionId("web-9"), NOW),
        lambda: store.executions.stop(ExecutionId("web-9"), "", NOW),
        lambda: store.executions.get_run(make_key("Build")),
        lambda: store.executions.mark_waiting(make_key("Build")),
        lambda: store.executions.finish(make_key("Build"), RunState.FAILED, NOW),
    ):
        with pytest.raises(NotFoundError, match="web-") as error_info:
            ask()
        assert "dockgate pipeline" in str(error_info.value.advice)


def test_advance_starts_the_planned_actions_once(store: Store) -> None:
    execution = start_execution(store)
    assert list(store.executions.advance(execution, plan_next, LATER)) == [make_key("Source")]
    (run,) = store.executions.list_runs(execution)
    assert (run.key, run.state, run.started_at, run.finished_at) == (
        make_key("Source"),
        RunState.IN_PROGRESS,
        NOW,
        None,
    )


def test_a_plan_that_repeats_itself_changes_no_run(store: Store) -> None:
    execution = start_execution(store)
    store.executions.finish(make_key("Source"), RunState.SUCCEEDED, NOW)
    assert store.executions.advance(execution, lambda *_: Plan(start=(make_key("Source"),)), LATER) == []
    assert list_states(store, execution) == {"Source/1": RunState.SUCCEEDED}


def test_advance_returns_actions_in_progress_and_not_waiting_ones(store: Store) -> None:
    execution = start_at_gate(store)
    assert list(store.executions.advance(execution, plan_next, LATER)) == [make_key("Approve"), make_key("Second")]
    for _ in range(2):
        store.executions.mark_waiting(make_key("Approve"))
    assert list(store.executions.advance(execution, plan_next, LATER)) == [make_key("Second")]
    assert store.executions.get_run(make_key("Approve")).state is RunState.WAITING


def test_a_failing_plan_changes_nothing(store: Store) -> None:
    execution = start_execution(store)
    before = store.executions.get(execution), store.executions.list_runs(execution)

    def raise_error(*_: object) -> Plan:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.executions.advance(execution, raise_error, LATER)
    assert (store.executions.get(execution), store.executions.list_runs(execution)) == before
    assert list(store.executions.advance(execution, plan_next, LATER)) == [make_key("Source")]


def test_an_action_ends_once_with_its_variables_and_artifact(store: Store) -> None:
    execution = start_execution(store)
    result: dict[str, Any] = {"variables": {"CommitId": "c0ffee", "Text": "a\nb \udce4 \0"}, "artifact": "sha256:1"}
    assert store.executions.finish(make_key("Source"), RunState.SUCCEEDED, NOW, reason="well", **result)
    assert not store.executions.finish(make_key("Source"), RunState.FAILED, LATER, reason="late")
    store.executions.mark_waiting(make_key("Source"))
    run = store.executions.get_run(make_key("Source"))
    assert (run.state, run.reason, run.finished_at) == (RunState.SUCCEEDED, "well", NOW)
    assert (run.variables, run.artifact) == (result["variables"], "sha256:1")
    assert list(store.executions.advance(execution, plan_next, LATER)) == [make_key("Build")]


def test_any_output_can_be_a_reason(store: Store) -> None:
    start_execution(store)
    store.executions.finish(make_key("Source"), RunState.FAILED, NOW, reason="bytes \udcff and \0 and é")
    assert store.executions.get_run(make_key("Source")).reason == r"bytes \udcff and \x00 and é"


def test_a_waiting_action_can_be_finished(store: Store) -> None:
    start_at_gate(store)
    store.executions.mark_waiting(make_key("Approve"))
    assert store.executions.finish(make_key("Approve"), RunState.FAILED, NOW)


def test_a_failed_action_fails_the_execution_with_its_reason(store: Store) -> None:
    execution = start_execution(store)
    store.executions.finish(make_key("Source"), RunState.FAILED, NOW, reason="no such commit")
    for now in (LATER, "2026-11-24T12:00:00.000Z"):
        assert list(store.executions.advance(execution, plan_next, now)) == []
    failed_execution = store.executions.get(execution)
    assert (failed_execution.state, failed_execution.reason, failed_execution.finished_at) == (
        RunState.FAILED,
        "Source/Source: no such commit",
        LATER,
    )
    assert list(store.executions.list_runnable()) == []


def test_retry_starts_new_runs_once(store: Store) -> None:
    execution = start_at_gate(store)
    for action in ("Approve", "Second"):
        store.executions.finish(make_key(action), RunState.FAILED, NOW, reason="rejected")
    store.executions.advance(execution, plan_next, NOW)
    keys = store.executions.retry(execution, LATER)
    assert list(keys) == [make_key("Approve", 2), make_key("Second", 2)]
    retried_execution = store.executions.get(execution)
    assert (retried_execution.state, retried_execution.reason, retried_execution.finished_at) == (
        RunState.IN_PROGRESS,
        None,
        None,
    )
    with pytest.raises(ConflictError, match="web-1"):
        store.executions.retry(execution, LATER)
    assert list_states(store, execution)["Approve/1"] is RunState.FAILED
    assert list(store.executions.advance(execution, plan_next, LATER)) == list(keys)


def test_only_failed_actions_are_retried(store: Store) -> None:
    execution = start_at_gate(store)
    store.executions.finish(make_key("Approve"), RunState.FAILED, NOW)
    store.executions.finish(make_key("Second"), RunState.SUCCEEDED, NOW)
    store.executions.advance(execution, plan_next, NOW)
    assert list(store.executions.retry(execution, LATER)) == [make_key("Approve", 2)]


def test_stop_ends_open_actions_and_cancels_waiting_approvals(store: Store) -> None:
    execution, second = start_at_gate(store), start_at_gate(store, "other push")
    for execution_id in (execution, second):
        store.approvals.add(make_approval(f"{execution_id}/Gate/Approve/1"))
        store.executions.mark_waiting(make_key("Approve", execution=execution_id))
    store.executions.stop(execution, "not now", LATER)
    stopped_execution = store.executions.get(execution)
    assert (stopped_execution.state, stopped_execution.reason, stopped_execution.finished_at) == (
        RunState.STOPPED,
        "not now",
        LATER,
    )
    expected = {"Source/1": RunState.SUCCEEDED, "Build/1": RunState.SUCCEEDED}
    assert list_states(store, execution) == {**expected, "Approve/1": RunState.STOPPED, "Second/1": RunState.STOPPED}
    cancelled_approval = store.approvals.get(ApprovalId("web-1/Gate/Approve/1"))
    assert (cancelled_approval.state, cancelled_approval.summary, cancelled_approval.settled_at) == (
        ApprovalState.CANCELLED,
        "not now",
        LATER,
    )
    assert store.approvals.get(ApprovalId("web-2/Gate/Approve/1")).state is ApprovalState.WAITING
    assert store.executions.get(second).state is RunState.IN_PROGRESS

    with pytest.raises(ConflictError, match="web-1"):
        store.executions.stop(execution, "again", "2026-11-24T12:00:00.000Z")
    assert store.executions.get(execution) == stopped_execution
    assert list(store.executions.advance(execution, plan_next, LATER)) == []


def test_a_stopped_execution_can_be_retried(store: Store) -> None:
    execution = start_execution(store)
    store.executions.stop(execution, "not now", NOW)
    assert list(store.executions.retry(execution, LATER)) == [make_key("Source", 2)]


def test_runs_come_in_the_order_they_started(store: Store) -> None:
    execution = start_at_gate(store)
    store.executions.finish(make_key("Approve"), RunState.FAILED, NOW)
    store.executions.retry(execution, LATER)
    names = [str(run.key) for run in store.executions.list_runs(execution)]
    tail = ["web-1/Gate/Approve/1", "web-1/Gate/Second/1", "web-1/Gate/Approve/2"]
    assert names == ["web-1/Source/Source/1", "web-1/Build/Build/1", *tail]
    assert [ActionKey.parse(name) for name in names] == [run.key for run in store.executions.list_runs(execution)]


def test_an_execution_is_runnable_unless_it_is_over_or_waits(store: Store) -> None:
    execution = start_at_gate(store)
    assert list(store.executions.list_runnable()) == [execution]
    store.executions.mark_waiting(make_key("Approve"))
    assert list(store.executions.list_runnable()) == [execution]  # the other one is in progress
    store.executions.mark_waiting(make_key("Second"))
    assert list(store.executions.list_runnable()) == []
    for action in ("Approve", "Second"):
        store.executions.finish(make_key(action), RunState.SUCCEEDED, LATER)
    assert list(store.executions.list_runnable()) == [execution]
    store.executions.advance(execution, plan_next, LATER)
    assert list(store.executions.list_runnable()) == []


def test_the_principal_who_retried_is_recorded(store: Store) -> None:
    execution = start_at_gate(store)
    store.executions.finish(make_key("Approve"), RunState.FAILED, NOW)
    store.executions.retry(execution, LATER, "ada")
    store.executions.finish(make_key("Approve", 2), RunState.FAILED, NOW)
    store.executions.retry(execution, LATER, "ben")
    assert list_starters(store.executions.get(execution).trigger)[-2:] == ("ada", "ben")


def test_the_last_execution_with_a_successful_action_is_found(store: Store) -> None:
    first, second, third = start_at_gate(store), start_at_gate(store, "second"), start_at_gate(store, "third")
    assert store.executions.find_last_succeeded("web", "Gate", "Approve", third) is None
    store.executions.finish(make_key("Approve", execution=second), RunState.SUCCEEDED, NOW)
    assert store.executions.find_last_succeeded("web", "Gate", "Approve", third) == second
    store.executions.finish(make_key("Approve", execution=first), RunState.SUCCEEDED, LATER)
    store.executions.finish(make_key("Approve", execution=third), RunState.SUCCEEDED, LATER)
    assert store.executions.find_last_succeeded("web", "Gate", "Approve", third) == first
    assert store.executions.find_last_succeeded("web", "Gate", "Second", third) is None
    assert store.executions.find_last_succeeded("other", "Gate", "Approve", third) is None


def test_executions_of_several_pipelines_are_listed_by_pipeline_and_state(store: Store) -> None:
    first, second = start_at_gate(store), start_execution(store, "second")
    store.pipelines.put(Pipeline("other", PIPELINE.stages), NOW)
    third = store.executions.start("other", "push", {}, LATER).id
    store.executions.stop(first, "not needed", LATER)
    store.pipelines.put(Pipeline("other", PIPELINE.stages[:1]), LATER)

    assert [execution.id for execution in store.executions.list_newest()] == [third, second]
    assert store.executions.list_newest(ExecutionResult.STOPPED) == []
    assert [execution.id for execution in store.executions.list_unfinished()] == [second, third]
    assert [execution.id for execution in store.executions.list_unfinished([first])] == [first, second, third]
    assert [execution.id for execution in store.executions.list_unfinished(pipelines=["other"])] == [third]
    runs = store.executions.list_runs_of_executions([first, third])
    assert runs == {first: store.executions.list_runs(first), third: []}
    newest_versions = {pipeline.name: pipeline.version for pipeline in store.pipelines.list_newest()}
    assert newest_versions == store.pipelines.list_newest_versions() == {"other": 2, "web": 1}
    assert store.pipelines.get("other", 1).stages == PIPELINE.stages
