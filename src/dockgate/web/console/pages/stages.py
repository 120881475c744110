"""The stages of executions, as pages draw them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dockgate.delivery.model import ActionKey, ActionRun, Execution, RunState, Stage
from dockgate.delivery.pipeline import latest_runs, stage_state
from dockgate.gate.model import Status
from dockgate.services.web_services import WebServices
from dockgate.web.api.executions import ExecutionView


@dataclass(frozen=True, slots=True)
class StageMark:
    """A stage in a strip."""

    name: str
    state: RunState | Status


def strips(server: WebServices, executions: Sequence[Execution]) -> dict[str, list[StageMark]]:
    """The stages of each execution, by its id, in four queries however many executions there are."""
    runs = server.store.executions.runs_of([execution.id for execution in executions])
    undetermined_keys = find_undetermined(server, executions)
    versions = {(execution.pipeline, execution.pipeline_version) for execution in executions}
    pipelines = server.store.pipelines.versions(versions)
    return {
        execution.id: [
            StageMark(stage.name, _stage_state(stage, runs[execution.id], undetermined_keys))
            for stage in pipelines[execution.pipeline, execution.pipeline_version].stages
        ]
        for execution in executions
    }


def find_undetermined(server: WebServices, executions: Iterable[Execution]) -> set[ActionKey]:
    """The approvals for which executions failed because their verdict is Undetermined."""
    failed_ids = [execution.id for execution in executions if execution.state is RunState.FAILED]
    return server.store.verdicts.undetermined_approvals(failed_ids) if failed_ids else set()


def shown_states(
    view: ExecutionView, undetermined_keys: Collection[ActionKey]
) -> Mapping[tuple[str, ...], RunState | Status]:
    """The states of an execution, at (), and of its stages and actions, by their names."""
    states: dict[tuple[str, ...], RunState | Status] = {}
    all_failed: list[ActionKey] = []
    for stage in view.stages:
        failed_keys = []
        for action in stage.actions:
            key = ActionKey(view.execution.id, stage.name, action.name, action.attempt)
            failed_keys += [key] if action.state is RunState.FAILED else []
            states[stage.name, action.name] = _shown_state(action.state, [key], undetermined_keys)
        states[(stage.name,)] = _shown_state(stage.state, failed_keys, undetermined_keys)
        all_failed += failed_keys
    states[()] = _shown_state(view.execution.state, all_failed, undetermined_keys)
    return states


def _stage_state(
    stage: Stage, runs: Sequence[ActionRun], undetermined_keys: Collection[ActionKey]
) -> RunState | Status:
    failed_keys = [
        run.key for run in latest_runs(runs).values() if run.key.stage == stage.name and run.state is RunState.FAILED
    ]
    return _shown_state(stage_state(stage, runs), failed_keys, undetermined_keys)


def _shown_state(
    state: RunState, failed_keys: Sequence[ActionKey], undetermined_keys: Collection[ActionKey]
) -> RunState | Status:
    """The state, or Undetermined where these failed actions are the reason and no other failed."""
    is_unknown = state is RunState.FAILED and failed_keys and all(key in undetermined_keys for key in failed_keys)
    return Status.UNDETERMINED if is_unknown else state
