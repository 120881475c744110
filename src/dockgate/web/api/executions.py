"""Executions: stages, actions and logs; stop and retry."""

from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import FileResponse

from dockgate.delivery.model import (
    ActionKey,
    ActionRun,
    ActionType,
    ApprovalId,
    Execution,
    ExecutionId,
    Pipeline,
    RunState,
)
from dockgate.delivery.pipeline import compute_stage_state, select_latest_runs
from dockgate.identity.model import Caller
from dockgate.services.pipelines.actions import read_definition
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store
from dockgate.web.api import (
    Count,
    DeliveryDependency,
    ReadCaller,
    RunCaller,
    StoreDependency,
    UpkeepDependency,
    make_router,
    make_view_maker,
)
from dockgate.web.api.approvals import ApprovalView, make_approval_view
from dockgate.web.audit_details import note_change
from dockgate.web.downloads import download_file

# The actions that write a log.
LOGGING_TYPES = (ActionType.BUILD, ActionType.DEPLOY)

router = make_router()


@dataclass(frozen=True, slots=True)
class ActionView:
    """The last attempt of an action.

    `reason`: why it failed or was stopped, or which worker it waits for.
    `has_log`: it writes a log; `approval` and `service`: of these actions only.
    """

    name: str
    type: ActionType
    state: RunState
    reason: str | None
    attempt: int
    started_at: str
    finished_at: str | None
    variables: dict[str, str]
    artifact: str | None
    has_log: bool
    approval: ApprovalView | None
    service: str | None


_make_action_view = make_view_maker(
    ActionView, ActionRun, "name", "type", "reason", "attempt", "started_at", "has_log", "approval", "service"
)


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage with its actions."""

    name: str
    state: RunState
    actions: list[ActionView]


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution with its stages.

    `superseded_by` is a newer execution deployed to the same service: this one can no longer be deployed. Null
    otherwise, and for an execution that succeeded.
    """

    execution: Execution
    stages: list[StageView]
    superseded_by: str | None


@dataclass(frozen=True, slots=True)
class LogPart:
    """A part of a log. `offset` is the start of the next part; `is_complete`: the action has ended."""

    text: str
    offset: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """A request to stop an execution."""

    reason: str = "stopped by hand"


@router.get("/executions/{execution_id}")
def get_execution(
    execution_id: ExecutionId, caller: ReadCaller, store: StoreDependency, upkeep: UpkeepDependency
) -> ExecutionView:
    """Get an execution with its stages and actions."""
    execution = store.executions.get(execution_id)
    pipeline = store.pipelines.get(execution.pipeline, execution.pipeline_version)
    runs = store.executions.list_runs(execution_id)
    last = select_latest_runs(runs)
    stages = []
    for stage in pipeline.stages:
        actions = []
        for action in stage.actions:
            run = last.get((stage.name, action.name)) or ActionRun(
                ActionKey(execution_id, stage.name, action.name, 0), RunState.PENDING
            )
            approval = None
            if action.type is ActionType.APPROVAL and run.key.attempt:
                approval = _find_approval(store, run.key)
            has_log = action.type in LOGGING_TYPES
            summary = {"name": action.name, "type": action.type, "attempt": run.key.attempt}
            summary["started_at"] = run.started_at
            service = str(action.configuration["service"]) if action.type is ActionType.DEPLOY else None
            reason = run.reason
            if run.state is RunState.IN_PROGRESS:
                reason = reason or upkeep.workers.describe_wait(action.labels)
            details = {"has_log": has_log, "approval": approval, "service": service, "reason": reason}
            actions.append(_make_action_view(run, **summary, **details))
        stages.append(StageView(stage.name, compute_stage_state(stage, runs), actions))
    return ExecutionView(execution, stages, _find_successor(store, execution, pipeline))


def _find_successor(store: StoreDependency, execution: Execution, pipeline: Pipeline) -> str | None:
    if execution.state is RunState.SUCCEEDED:
        return None
    actions = [action for stage in pipeline.stages for action in stage.actions if action.type is ActionType.DEPLOY]
    for action in actions:
        deployed_id = store.services.find_deployed_by(str(action.configuration["service"]))
        deployed_execution = store.executions.get(deployed_id) if deployed_id else None
        if (
            deployed_execution
            and deployed_execution.pipeline == execution.pipeline
            and deployed_execution.number > execution.number
        ):
            return deployed_execution.id
    return None


def _find_approval(store: StoreDependency, key: ActionKey) -> ApprovalView | None:
    try:
        return make_approval_view(store.approvals.get(ApprovalId.from_action(key)))
    except NotFoundError:  # not requested yet, or deleted by retention
        return None


@router.post("/executions/{execution_id}/stop")
def stop_execution(
    execution_id: ExecutionId, body: Stop, caller: RunCaller, store: StoreDependency, delivery: DeliveryDependency
) -> Execution:
    """Stop an execution. Running actions finish, but their results are discarded."""
    delivery.executions.stop(execution_id, body.reason)
    note_change(f"stopped: {body.reason}")
    return store.executions.get(execution_id)


@router.post("/executions/{execution_id}/retry")
def retry_execution(
    execution_id: ExecutionId, caller: RunCaller, store: StoreDependency, delivery: DeliveryDependency
) -> Execution:
    """Retry the failed actions of the failed stage."""
    keys = delivery.executions.retry(execution_id, caller.name if caller.token else None)
    note_change(f"started again: {', '.join(f'{key.stage}/{key.action}, attempt {key.attempt}' for key in keys)}")
    return store.executions.get(execution_id)


@router.get(
    "/executions/{execution_id}/artifact",
    response_class=FileResponse,
    responses={200: {"content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_artifact(
    execution_id: ExecutionId, stage: str, action: str, caller: ReadCaller, store: StoreDependency, attempt: Count = 1
) -> FileResponse:
    """Download the artifact of an action as a tar archive.

    It has a source's files, or a build's `imagedefinitions.json`.
    """
    key = ActionKey(execution_id, stage, action, attempt)
    return download_file(
        f"{execution_id}-{action}-{attempt}.tar", "application/x-tar", find_artifact(key, caller, store)
    )


def find_artifact(key: ActionKey, caller: Caller, store: Store) -> Path:
    """The file of an action's artifact. The source's is for callers who may read its repository only.

    Raises DeniedError, and NotFoundError for an action without an artifact or one that is deleted.
    """
    run = store.executions.get_run(key)
    _, action = read_definition(store, key)
    if action.type is ActionType.SOURCE:
        caller.require(repository=str(action.configuration["repository"]))
    if run.artifact is None:
        raise NotFoundError(f"{key} has no artifact", "Source and build actions that succeeded have one.")
    return store.blobs.get_path(run.artifact)


@router.get("/executions/{execution_id}/log")
def get_log(
    execution_id: ExecutionId,
    stage: str,
    action: str,
    caller: ReadCaller,
    store: StoreDependency,
    attempt: Count = 1,
    offset: Count = 0,
) -> LogPart:
    """Get an action's log from a byte offset. Call again with the returned offset until `is_complete`."""
    run = store.executions.get_run(ActionKey(execution_id, stage, action, attempt))
    data, next_offset = store.logs.read(run.key, offset)
    return LogPart(data.decode("utf-8", "replace"), next_offset, run.state.is_final and not data)
