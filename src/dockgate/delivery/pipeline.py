"""Plan executions: what runs next, what a retry repeats, and which variables an action sees."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dockgate.delivery.model import ActionKey, ActionRun, Execution, Pipeline, RunState, Stage
from dockgate.shared.errors import UsageError

_VARIABLE = re.compile(r"#\{([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\}")


def list_source_branches(pipeline: Pipeline) -> set[tuple[str, str]]:
    """Return the git repositories and branches from which a pipeline starts."""
    configurations = (action.configuration for action in pipeline.stages[0].actions)
    return {(str(entry["repository"]), str(entry["branch"])) for entry in configurations}


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step of an execution: actions to start, and the new state with its reason.

    The state is None if it is unchanged.
    """

    start: tuple[ActionKey, ...] = ()
    state: RunState | None = None
    reason: str | None = None


def select_latest_runs(runs: Sequence[ActionRun]) -> dict[tuple[str, str], ActionRun]:
    """Return the last attempt of each action, by (stage, action)."""
    runs_by_action: dict[tuple[str, str], ActionRun] = {}
    for run in sorted(runs, key=lambda run: run.key.attempt):
        runs_by_action[run.key.stage, run.key.action] = run
    return runs_by_action


def plan_next(pipeline: Pipeline, execution: Execution, runs: Sequence[ActionRun]) -> Plan:
    """The next step after the runs so far. The same runs give the same plan.

    Stages run one after the other. In a stage, the actions of one run order start together, and the next order starts
    when all of them have succeeded. After a failed action the others of its run order finish, then the stage and the
    execution fail.
    """
    if execution.state.is_final:
        return Plan()
    last = select_latest_runs(runs)
    for stage in pipeline.stages:
        for order in sorted({action.run_order for action in stage.actions}):
            group = [action for action in stage.actions if action.run_order == order]
            group_runs = [last.get((stage.name, action.name)) for action in group]
            started_runs = [run for run in group_runs if run is not None]
            failed_runs = [run for run in started_runs if run.state in (RunState.FAILED, RunState.STOPPED)]
            if failed_runs:
                if any(not run.state.is_final for run in started_runs):
                    return Plan()
                return Plan(
                    state=RunState.FAILED, reason=f"{stage.name}/{failed_runs[0].key.action}: {failed_runs[0].reason}"
                )
            start = tuple(
                ActionKey(execution.id, stage.name, action.name, 1)
                for action, run in zip(group, group_runs, strict=True)
                if run is None
            )
            if start:
                return Plan(start=start, state=RunState.IN_PROGRESS)
            if not all(run.state is RunState.SUCCEEDED for run in started_runs):
                return Plan()
    return Plan(state=RunState.SUCCEEDED)


def plan_retry(pipeline: Pipeline, runs: Sequence[ActionRun]) -> tuple[ActionKey, ...]:
    """The next attempts of the failed stage's failed actions; none if none failed."""
    last = select_latest_runs(runs)
    for stage in pipeline.stages:
        keys = tuple(
            replace(run.key, attempt=run.key.attempt + 1)
            for action in stage.actions
            if (run := last.get((stage.name, action.name))) and run.state in (RunState.FAILED, RunState.STOPPED)
        )
        if keys:
            return keys
    return ()


def compute_stage_state(stage: Stage, runs: Sequence[ActionRun]) -> RunState:
    """Return the state of a stage, from the last attempts of its actions."""
    last = select_latest_runs(runs)
    states = [last[stage.name, action.name].state for action in stage.actions if (stage.name, action.name) in last]
    if not states:
        return RunState.PENDING
    for state in (RunState.IN_PROGRESS, RunState.WAITING, RunState.FAILED, RunState.STOPPED):
        if state in states:
            return state
    return RunState.SUCCEEDED if len(states) == len(stage.actions) else RunState.IN_PROGRESS


def collect_variables(pipeline: Pipeline, runs: Sequence[ActionRun]) -> dict[str, dict[str, str]]:
    """Namespace -> variable -> value, of the actions that have run."""
    last = select_latest_runs(runs)
    return {
        action.namespace: last[stage.name, action.name].variables
        for stage in pipeline.stages
        for action in stage.actions
        if action.namespace and (stage.name, action.name) in last
    }


def find_artifact(pipeline: Pipeline, runs: Sequence[ActionRun], name: str | None) -> str:
    """The digest of the artifact with this name. Raises UsageError if no earlier action produced it."""
    last = select_latest_runs(runs)
    for stage in pipeline.stages:
        for action in stage.actions:
            run = last.get((stage.name, action.name))
            if name is not None and action.output == name and run is not None and run.artifact:
                return run.artifact
    raise UsageError(f"no earlier action produced the artifact {name!r}", "Name an earlier action's output.")


def resolve_variables(text: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """Replace every `#{Namespace.Variable}` in the text. Raises UsageError for an unknown one."""

    def look_up(match: re.Match[str]) -> str:
        namespace, name = match.groups()
        if name not in values.get(namespace, {}):
            names = ", ".join(f"{space}.{key}" for space, group in sorted(values.items()) for key in sorted(group))
            raise UsageError(f"no variable {namespace}.{name}", f"Available here: {names or 'none'}.")
        return values[namespace][name]

    return _VARIABLE.sub(look_up, text)
