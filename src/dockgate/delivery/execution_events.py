"""Events of executions in the shape of AWS CodePipeline.

Patterns that are written for it match. Pure: no I/O, no clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dockgate.delivery.model import Action, ActionKey, ActionRun, ActionType, Execution, Pipeline, RunState
from dockgate.events import dockgate_events
from dockgate.events.envelope import MAX_TEXT
from dockgate.events.model import ACCOUNT, REGION, NewEvent
from dockgate.events.subject import EventSubject, SubjectKind

SOURCE = "aws.codepipeline"

_STATES = {
    RunState.IN_PROGRESS: "STARTED",
    RunState.SUCCEEDED: "SUCCEEDED",
    RunState.FAILED: "FAILED",
    RunState.STOPPED: "STOPPED",
}
_CATEGORIES = {
    ActionType.SOURCE: "Source",
    ActionType.BUILD: "Build",
    ActionType.APPROVAL: "Approval",
    ActionType.DEPLOY: "Deploy",
}


def make_pipeline_event(execution: Execution, state: str, attempt: int, key: str, time: str) -> NewEvent:
    """`CodePipeline Pipeline Execution State Change`.

    `state` is one of CodePipeline's: STARTED, RESUMED, SUCCEEDED, FAILED, STOPPED. `key` distinguishes the changes to
    one state.
    """
    detail = {"execution-trigger": _describe_trigger(execution)} if state == "STARTED" else {}
    return _make_execution_event("Pipeline", execution, f"{state}/{key}", time, {**detail, "state": state}, attempt)


def make_stage_event(execution: Execution, stage: str, state: str, attempt: int, key: str, time: str) -> NewEvent:
    """`CodePipeline Stage Execution State Change`; arguments as of `make_pipeline_event`."""
    detail = {"stage": stage, "state": state}
    return _make_execution_event("Stage", execution, f"{stage}/{state}/{key}", time, detail, attempt)


def make_action_event(execution: Execution, action: Action, run: ActionRun, time: str) -> NewEvent:
    """`CodePipeline Action Execution State Change`: an attempt of an action that started or ended."""
    state = "CANCELED" if run.state is RunState.STOPPED else _STATES.get(run.state, "STARTED")
    detail: dict[str, Any] = {
        "stage": run.key.stage,
        "action": run.key.action,
        "action-execution-id": str(run.key),
        "input-artifacts": [{"name": action.input}] if action.input else [],
        "output-artifacts": [{"name": action.output}] if action.output else [],
        "state": state,
        "region": REGION,
        "type": {"owner": "Custom", "provider": "Dockgate", "category": _CATEGORIES[action.type], "version": "1"},
    }
    if state == "FAILED":
        detail["execution-result"] = {
            "external-execution-summary": (run.reason or "")[:MAX_TEXT],
            "external-execution-id": str(run.key),
            "error-code": "JobFailed",
        }
    return _make_execution_event("Action", execution, f"{run.key}/{state}", time, detail, run.key.attempt)


def _make_execution_event(
    kind: str, execution: Execution, key: str, time: str, detail: Mapping[str, Any], attempt: int
) -> NewEvent:
    """An event of an execution. `key` identifies it among those of its kind."""
    return NewEvent(
        id=f"codepipeline/{kind.lower()}/{execution.id}/{key}",
        source=SOURCE,
        detail_type=f"CodePipeline {kind} Execution State Change",
        subject=EventSubject(SubjectKind.EXECUTION, execution.id),
        time=time,
        detail={
            "pipeline": execution.pipeline,
            "execution-id": execution.id,
            "start-time": execution.started_at,
            "version": execution.pipeline_version,
            "pipeline-execution-attempt": attempt,
            **detail,
        },
        resources=(f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{execution.pipeline}",),
        pipeline=execution.pipeline,
    )


def _describe_trigger(execution: Execution) -> dict[str, str]:
    """Return what started an execution: a push, or a person."""
    trigger = execution.trigger
    if "fix" in trigger:
        return {"trigger-type": "StartPipelineExecution", "trigger-detail": trigger.get("cause", "")}
    if "commit" in trigger:
        branch = f"{trigger.get('repository', '')} {trigger.get('branch', '')}"
        return {"trigger-type": "Webhook", "trigger-detail": f"{branch} {trigger['commit']}"[:MAX_TEXT]}
    return {"trigger-type": "StartPipelineExecution", "trigger-detail": trigger.get("started_by", "")}


def make_start_events(execution: Execution, time: str) -> list[NewEvent]:
    """The events of an execution that starts."""
    return [make_pipeline_event(execution, "STARTED", 1, "1", time)]


def advance_events(
    pipeline: Pipeline,
    execution: Execution,
    runs: Sequence[ActionRun],
    start: Sequence[ActionKey],
    state: RunState | None,
    reason: str | None,
    time: str,
) -> list[NewEvent]:
    """The events of a step of an execution: actions that start, and its new `state`.

    `state` is None if it is unchanged. `runs` are those before the step.
    """
    attempt, key = _count_attempts(runs), str(len(runs))
    present_stages = {run.key.stage for run in runs}
    names = [stage.name for stage in pipeline.stages]
    events: list[NewEvent] = []
    for name in dict.fromkeys(action_key.stage for action_key in start if action_key.stage not in present_stages):
        previous_index = names.index(name) - 1
        if previous_index >= 0:
            events.append(make_stage_event(execution, names[previous_index], "SUCCEEDED", attempt, key, time))
        events.append(make_stage_event(execution, name, "STARTED", attempt, key, time))
    events += _make_start_events(pipeline, execution, start, time)
    if state is not None and state.is_final:
        last = next((name for name in reversed(names) if name in present_stages), names[-1])
        events.append(make_stage_event(execution, last, _STATES[state], attempt, key, time))
        events.append(make_pipeline_event(execution, _STATES[state], attempt, key, time))
    if state is RunState.FAILED:
        events.append(
            dockgate_events.make_execution_failed(
                execution=execution.id, pipeline=execution.pipeline, key=key, reason=reason, time=time
            )
        )
    return events


def retry_events(
    pipeline: Pipeline, execution: Execution, runs: Sequence[ActionRun], start: Sequence[ActionKey], time: str
) -> list[NewEvent]:
    """The events of an execution whose failed actions start again. `runs` are those before."""
    attempt, key = max(action_key.attempt for action_key in start), str(len(runs))
    return [
        make_pipeline_event(execution, "RESUMED", attempt, key, time),
        *(
            make_stage_event(execution, stage, "RESUMED", attempt, key, time)
            for stage in dict.fromkeys(action_key.stage for action_key in start)
        ),
        *_make_start_events(pipeline, execution, start, time),
    ]


def make_stop_events(pipeline: Pipeline, execution: Execution, runs: Sequence[ActionRun], time: str) -> list[NewEvent]:
    """The events of an execution that is stopped. `runs` are those before: the open ones are cancelled."""
    attempt, key = _count_attempts(runs), str(len(runs))
    cancelled_runs = [replace(run, state=RunState.STOPPED) for run in runs if not run.state.is_final]
    return [
        *(make_end_event(pipeline, execution, run, time) for run in cancelled_runs),
        *(
            make_stage_event(execution, stage, "STOPPED", attempt, key, time)
            for stage in dict.fromkeys(run.key.stage for run in cancelled_runs)
        ),
        make_pipeline_event(execution, "STOPPED", attempt, key, time),
    ]


def make_end_event(pipeline: Pipeline, execution: Execution, run: ActionRun, time: str) -> NewEvent:
    """The event of an action that ends."""
    return make_action_event(execution, pipeline.get_action(run.key.stage, run.key.action), run, time)


def make_deploy_events(pipeline: Pipeline, execution: Execution, run: ActionRun, time: str) -> list[NewEvent]:
    """Return the event of an action that ends, if it is a deploy that succeeded or failed."""
    action = pipeline.get_action(run.key.stage, run.key.action)
    if action.type is not ActionType.DEPLOY:
        return []
    key, service = str(run.key), str(action.configuration["service"])
    if run.state is RunState.FAILED:
        return [
            dockgate_events.make_deploy_failed(
                key=key,
                service=service,
                reason=run.reason,
                time=time,
                execution=execution.id,
                pipeline=execution.pipeline,
            )
        ]
    if run.state is RunState.SUCCEEDED:
        text = run.variables.get("REVISION", "")
        revision = int(text) if text.isdecimal() else None
        return [
            dockgate_events.make_deploy_succeeded(
                key=key,
                service=service,
                revision=revision,
                time=time,
                execution=execution.id,
                pipeline=execution.pipeline,
            )
        ]
    return []


def _make_start_events(
    pipeline: Pipeline, execution: Execution, start: Sequence[ActionKey], time: str
) -> Iterator[NewEvent]:
    for key in start:
        run = ActionRun(key, RunState.IN_PROGRESS, started_at=time)
        yield make_action_event(execution, pipeline.get_action(key.stage, key.action), run, time)


def _count_attempts(runs: Sequence[ActionRun]) -> int:
    """Return how often the execution was tried: 1, and one more for each retry of an action."""
    return max((run.key.attempt for run in runs), default=1)
