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
    undetermined = find_undetermined(server, executions)
    versions = {(execution.pipeline, execution.pipeline_version) for execution in executions}
    pipelines = server.store.pipelines.versions(versions)
    return {
        execution.id: [
            StageMark(stage.name, _stage_state(stage, runs[execution.id], undetermined))
            for stage in pipelines[execution.pipeline, execution.pipeline_version].stages
        ]
        for execution in executions
    }


def find_undetermined(server: WebServices, executions: Iterable[Execution]) -> set[ActionKey]:
    """The approvals for which executions failed because their verdict is Undetermined."""
    failed = [execution.id for execution in executions if execution.state is RunState.FAILED]
    return server.store.verdicts.undetermined_approvals(failed) if failed else set()


def shown_states(
    view: ExecutionView, undetermined: Collection[ActionKey]
) -> Mapping[tuple[str, ...], RunState | Status]:
    """The states of an execution, at (), and of its stages and actions, by their names."""
    states: dict[tuple[str, ...], RunState | Status] = {}
    every: list[ActionKey] = []
    for stage in view.stages:
        failed = []
        for action in stage.actions:
            key = ActionKey(view.execution.id, stage.name, action.name, action.attempt)
            failed += [key] if action.state is RunState.FAILED else []
            states[stage.name, action.name] = _shown_state(action.state, [key], undetermined)
        states[(stage.name,)] = _shown_state(stage.state, failed, undetermined)
        every += failed
    states[()] = _shown_state(view.execution.state, every, undetermined)
    return states


def _stage_state(stage: Stage, runs: Sequence[ActionRun], undetermined: Collection[ActionKey]) -> RunState | Status:
    failed = [
        run.key for run in latest_runs(runs).values() if run.key.stage == stage.name and run.state is RunState.FAILED
    ]
    return _shown_state(stage_state(stage, runs), failed, undetermined)


def _shown_state(
    state: RunState, failed: Sequence[ActionKey], undetermined: Collection[ActionKey]
) -> RunState | Status:
    """The state, or Undetermined where these failed actions are the reason and no other failed."""
    is_unknown = state is RunState.FAILED and failed and all(key in undetermined for key in failed)
    return Status.UNDETERMINED if is_unknown else state
