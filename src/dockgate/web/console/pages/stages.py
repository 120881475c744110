"""Executions and their stages, as pages draw them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockgate.delivery.model import ActionKey, ActionRun, Approval, Execution, ExecutionId, RunState, Stage
from dockgate.delivery.pipeline import compute_stage_state, select_latest_runs
from dockgate.gate.model import Status
from dockgate.store import Store
from dockgate.web.api.executions import ExecutionView
from dockgate.web.console.formats import shorten_rejection


@dataclass(frozen=True, slots=True)
class StageMark:
    """A stage in a strip."""

    name: str
    state: RunState | Status


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """An execution in a list.

    `reason` is why it stopped or what it waits for, None for neither. `until` is the end of that wait. `commit` is what
    `describe_commit` returns.
    """

    stages: Sequence[StageMark]
    state: RunState | Status
    reason: str | None
    until: str | None
    commit: Mapping[str, str]


def make_execution_rows(store: Store, executions: Sequence[Execution]) -> dict[ExecutionId, ExecutionRow]:
    """The row of each execution, by its id, in at most four queries however many executions there are."""
    runs = store.executions.list_runs_of_executions([execution.id for execution in executions])
    failed_ids = [execution.id for execution in executions if execution.state is RunState.FAILED]
    rejections = store.execution_results.list_rejections(failed_ids) if failed_ids else {}
    waits = _find_waits(store, runs)
    versions = {(execution.pipeline, execution.pipeline_version) for execution in executions}
    pipelines = store.pipelines.find_versions(versions)
    rows = {}
    for execution in executions:
        stages = [
            StageMark(stage.name, _choose_stage_state(stage, runs[execution.id], rejections))
            for stage in pipelines[execution.pipeline, execution.pipeline_version].stages
        ]
        state = _choose_execution_state(execution, runs[execution.id], rejections)
        wait = waits.get(execution.id)
        until = wait[0].expires_at if wait else None
        commit = describe_commit(execution.trigger, [run.variables for run in runs[execution.id]])
        reason = describe_wait(*wait) if wait else shorten_reason(execution.reason, runs[execution.id])
        rows[execution.id] = ExecutionRow(stages, state, reason, until, commit)
    return rows


def shorten_reason(reason: str | None, runs: Sequence[ActionRun]) -> str | None:
    """The reason without the name of the action that failed: the stages beside it show which one."""
    failed_keys = [run.key for run in select_latest_runs(runs).values() if run.state is RunState.FAILED]
    if reason is None or len(failed_keys) != 1:
        return reason
    return shorten_rejection(reason.removeprefix(f"{failed_keys[0].stage}/{failed_keys[0].action}: "))


def describe_commit(trigger: Mapping[str, str], variables: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The commit of an execution, as its trigger and its first source action say.

    What they do not say is empty.
    """
    source = next((values for values in variables if "CommitId" in values), {})
    names = (
        *(("id", "commit", "CommitId"), ("repository", "repository", "RepositoryName")),
        *(("branch", "branch", "BranchName"), ("message", "", "CommitMessage"), ("author", "", "Author")),
    )
    return {name: str(trigger.get(key) or source.get(variable, "")) for name, key, variable in names}


def _find_waits(
    store: Store, runs: Mapping[ExecutionId, Sequence[ActionRun]]
) -> dict[ExecutionId, tuple[Approval, int]]:
    """The first approval on which each execution waits, with the number of yes votes."""
    waiting = [name for name, action_runs in runs.items() if any(run.state is RunState.WAITING for run in action_runs)]
    approvals = store.execution_results.list_waiting_approvals(waiting) if waiting else ()
    waits: dict[ExecutionId, tuple[Approval, int]] = {}
    for approval, supporters in approvals:
        if approval.action:
            waits.setdefault(approval.action.execution, (approval, supporters))
    return waits


def describe_wait(approval: Approval, supporter_count: int) -> str:
    """Say what a waiting approval of an action waits for."""
    missing_parts = [] if approval.verdict else ["its verdict"]
    if approval.approvers and (count := approval.approvers.count - supporter_count) > 0:
        suffix = " more" if supporter_count else ""
        missing_parts.append(f"{count}{suffix} {'person' if count == 1 else 'people'}")
    name = approval.action.action if approval.action else approval.id
    return f"{name} waits for {' and for '.join(missing_parts) or 'its answer'}."


def _choose_execution_state(
    execution: Execution, runs: Sequence[ActionRun], rejections: Mapping[ActionKey, Status]
) -> RunState | Status:
    """The state of an execution as `ExecutionResult` has it: by its last failure, or by what it waits for."""
    failed_keys = [run.key for run in runs if run.state is RunState.FAILED]
    if execution.state is RunState.FAILED and failed_keys:
        return rejections.get(failed_keys[-1], RunState.FAILED)
    states = {run.state for run in runs}
    is_waiting = RunState.WAITING in states and RunState.IN_PROGRESS not in states
    return RunState.WAITING if execution.state is RunState.IN_PROGRESS and is_waiting else execution.state


def choose_states(
    view: ExecutionView, rejections: Mapping[ActionKey, Status]
) -> Mapping[tuple[str, ...], RunState | Status]:
    """The states of an execution, at (), and of its stages and actions, by their names."""
    states: dict[tuple[str, ...], RunState | Status] = {}
    all_failed: list[ActionKey] = []
    for stage in view.stages:
        failed_keys = []
        for action in stage.actions:
            key = ActionKey(view.execution.id, stage.name, action.name, action.attempt)
            failed_keys += [key] if action.state is RunState.FAILED else []
            states[stage.name, action.name] = _choose_state(action.state, [key], rejections)
        states[(stage.name,)] = _choose_state(stage.state, failed_keys, rejections)
        all_failed += failed_keys
    states[()] = _choose_state(view.execution.state, all_failed, rejections)
    return states


def _choose_stage_state(
    stage: Stage, runs: Sequence[ActionRun], rejections: Mapping[ActionKey, Status]
) -> RunState | Status:
    failed_keys = [
        run.key
        for run in select_latest_runs(runs).values()
        if run.key.stage == stage.name and run.state is RunState.FAILED
    ]
    return _choose_state(compute_stage_state(stage, runs), failed_keys, rejections)


def _choose_state(
    state: RunState, failed_keys: Sequence[ActionKey], rejections: Mapping[ActionKey, Status]
) -> RunState | Status:
    """The state, or Rejected or Undetermined where these failed actions are the reason, all for their answers."""
    if state is not RunState.FAILED or not failed_keys or not all(key in rejections for key in failed_keys):
        return state
    return Status.REJECTED if Status.REJECTED in map(rejections.get, failed_keys) else Status.UNDETERMINED
