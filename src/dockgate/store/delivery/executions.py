"""Executions of pipelines and the runs of their actions."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, exists, func, insert, or_, select, update

from dockgate.delivery import execution_events
from dockgate.delivery.model import (
    ActionKey,
    ActionRun,
    ApprovalState,
    Execution,
    ExecutionId,
    ExecutionResult,
    Pipeline,
    RunState,
)
from dockgate.delivery.pipeline import Plan, plan_retry
from dockgate.delivery.trigger import add_retrier
from dockgate.events.model import NewEvent
from dockgate.gate.summaries import SUMMARY_LIMIT
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.shared.wording import shorten_text
from dockgate.store.delivery.execution_results import has_result, make_execution_conditions
from dockgate.store.delivery.source_commits import record_source_commit
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import (
    count_rows,
    find_sort_column,
    is_one_of,
    is_one_of_texts,
    make_after_value_conditions,
    make_text_list,
    require_pipeline,
    select_as,
)
from dockgate.store.schema.delivery import action_runs, approvals, executions, pipelines
from dockgate.store.statements import insert_if_new, lock_name, lock_rows

OPEN = [state for state in RunState if not state.is_final]
EXECUTION = select_as(Execution, executions)
_EXECUTION_BY_ID = EXECUTION.where(executions.c.id == bindparam("id"))
_LOCKED_EXECUTION = lock_rows(_EXECUTION_BY_ID)
_IS_OF_PIPELINE = executions.c.pipeline == bindparam("pipeline")
_EXECUTION_BY_CAUSE = EXECUTION.where(_IS_OF_PIPELINE, executions.c.cause == bindparam("cause"))
_LAST_NUMBER = select(func.max(executions.c.number)).where(_IS_OF_PIPELINE)
_UPDATE_EXECUTION = update(executions).where(executions.c.id == bindparam("of_id"))

_ACTION_RUN = select_as(ActionRun, action_runs)
_RUN_BY_KEY = _ACTION_RUN.where(action_runs.c.key == bindparam("key"))
_IS_OF_EXECUTION = action_runs.c.execution == bindparam("execution")
_RUNS_OF_EXECUTION = _ACTION_RUN.where(_IS_OF_EXECUTION).order_by(action_runs.c.seq)
_RUNS_OF_EXECUTIONS = _ACTION_RUN.where(is_one_of(action_runs.c.execution, "executions")).order_by(action_runs.c.seq)
_IS_IN_PROGRESS = action_runs.c.state == RunState.IN_PROGRESS
_KEYS_IN_PROGRESS = select(action_runs.c.key).where(_IS_OF_EXECUTION, _IS_IN_PROGRESS).order_by(action_runs.c.seq)
# The actions of a pipeline that have succeeded, the last first, without those of one execution.
_SUCCEEDED_KEYS = (
    select(action_runs.c.key)
    .join(executions, executions.c.id == action_runs.c.execution)
    .where(_IS_OF_PIPELINE, executions.c.id != bindparam("other_than"))
    .where(action_runs.c.state == RunState.SUCCEEDED)
    .order_by(action_runs.c.finished_at.desc(), action_runs.c.seq.desc())
)
_IS_KEY = action_runs.c.key == bindparam("of_key")
_MARK_WAITING = update(action_runs).where(_IS_KEY, _IS_IN_PROGRESS).values(state=RunState.WAITING)
_FINISH_RUN = update(action_runs).where(_IS_KEY, action_runs.c.state.in_(OPEN))
_FINISH_RUNS = (
    update(action_runs)
    .where(is_one_of(action_runs.c.key, "keys"), action_runs.c.state.in_(OPEN))
    .returning(action_runs.c.key)
)
# The executions with these ids, each with its pipeline.
_PIPELINES_OF_EXECUTIONS = (
    EXECUTION.add_columns(pipelines.c.body)
    .join(
        pipelines,
        (pipelines.c.name == executions.c.pipeline) & (pipelines.c.version == executions.c.pipeline_version),
    )
    .where(is_one_of(executions.c.id, "ids"))
)


class ExecutionTable:
    """Executions of pipelines and the runs of their actions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, pipeline: str, cause: str, trigger: Mapping[str, str], now: str) -> Execution:
        """Start an execution of the newest version of a pipeline, once for each cause."""
        with self._database.write() as connection:
            lock_name(connection, pipelines, pipeline)
            values = {"pipeline": pipeline, "cause": cause}
            present_row = connection.execute(_EXECUTION_BY_CAUSE, values).mappings().first()
            if present_row is not None:
                return Execution(**present_row)
            version = require_pipeline(connection, pipeline).version
            number = (connection.scalar(_LAST_NUMBER, {"pipeline": pipeline}) or 0) + 1
            execution_id = ExecutionId.from_number(pipeline, number)
            row = {
                "id": execution_id,
                "pipeline": pipeline,
                "number": number,
                "pipeline_version": version,
                "state": RunState.IN_PROGRESS,
                "trigger": dict(trigger),
                "cause": cause,
                "started_at": now,
            }
            connection.execute(insert(executions), row)
            execution = _get(connection, execution_id)
            append_events(connection, execution_events.make_start_events(execution, now))
            return execution

    def get(self, execution_id: ExecutionId) -> Execution:
        """The execution with this id. Raises NotFoundError."""
        with self._database.read() as connection:
            return _get(connection, execution_id)

    def list_for_pipeline(
        self,
        pipeline: str,
        limit: int = 20,
        after: int | None = None,
        state: RunState | None = None,
        *,
        result: ExecutionResult | None = None,
        is_newest_first: bool = True,
    ) -> Sequence[Execution]:
        """The executions of a pipeline, by number: those after a number.

        They are in a state and have a result, if given.
        """
        query = EXECUTION.where(*make_execution_conditions(pipeline, state, result)).where(
            *make_after_value_conditions(executions.c.number, after, is_newest_first)
        )
        query = query.order_by(find_sort_column(executions.c.number, is_newest_first)).limit(limit)
        with self._database.read() as connection:
            return [Execution(**row) for row in connection.execute(query).mappings()]

    def count_for_pipeline(
        self, pipeline: str, limit: int, state: RunState | None = None, result: ExecutionResult | None = None
    ) -> int:
        """The number of executions of a pipeline in a state and with a result, if given; at most `limit`."""
        with self._database.read() as connection:
            return count_rows(connection, EXECUTION.where(*make_execution_conditions(pipeline, state, result)), limit)

    def list_newest(self, result: ExecutionResult | None = None) -> Sequence[Execution]:
        """The newest execution of each pipeline that has run, by pipeline: those with a result, if given."""
        newest_numbers = select(executions.c.pipeline, func.max(executions.c.number).label("number"))
        newest_of = newest_numbers.group_by(executions.c.pipeline).subquery()
        is_newest = (executions.c.pipeline == newest_of.c.pipeline) & (executions.c.number == newest_of.c.number)
        query = EXECUTION.join(newest_of, is_newest).order_by(executions.c.pipeline)
        if result is not None:
            query = query.where(has_result(result))
        with self._database.read() as connection:
            return [Execution(**row) for row in connection.execute(query).mappings()]

    def list_unfinished(
        self, ids: Sequence[ExecutionId] = (), limit: int = 50, pipelines: Collection[str] | None = None
    ) -> Sequence[Execution]:
        """At most `limit` executions that are under way, and those with the ids `ids`, the oldest first.

        `pipelines` are those that the reader may see, None for all.
        """
        query = EXECUTION.where(or_(executions.c.state.in_(OPEN), executions.c.id.in_(ids)))
        if pipelines is not None:
            query = query.where(is_one_of_texts(executions.c.pipeline, pipelines))
        query = query.order_by(executions.c.started_at, executions.c.id).limit(limit + len(ids))
        with self._database.read() as connection:
            return [Execution(**row) for row in connection.execute(query).mappings()]

    def list_runs_of_executions(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Sequence[ActionRun]]:
        """Every run of every action of several executions, by execution."""
        runs: dict[ExecutionId, list[ActionRun]] = {execution: [] for execution in ids}
        with self._database.read() as connection:
            for row in connection.execute(_RUNS_OF_EXECUTIONS, {"executions": make_text_list(ids)}).mappings():
                runs[row["key"].execution].append(ActionRun(**row))
        return runs

    def list_caused_by(self, cause: str) -> Sequence[Execution]:
        """The executions that were started for this cause, at most one of each pipeline."""
        query = EXECUTION.where(executions.c.cause == cause).order_by(executions.c.pipeline)
        with self._database.read() as connection:
            return [Execution(**row) for row in connection.execute(query).mappings()]

    def list_runs(self, execution_id: ExecutionId) -> Sequence[ActionRun]:
        """Every run of every action, in the order they started."""
        with self._database.read() as connection:
            return _list_runs(connection, execution_id)

    def get_run(self, key: ActionKey) -> ActionRun:
        """The run of an action."""
        with self._database.read() as connection:
            return _read_run(connection, key)

    def list_runnable(self) -> Sequence[ExecutionId]:
        """The unfinished executions that should be making progress, oldest first.

        In each an action is in progress, perhaps beside one that waits, or none waits.
        """
        has_run = exists().where(action_runs.c.execution == executions.c.id)
        runs = has_run.where(_IS_IN_PROGRESS)
        waits = has_run.where(action_runs.c.state == RunState.WAITING)
        query = select(executions.c.id).where(executions.c.state.in_(OPEN), or_(runs, ~waits))
        with self._database.read() as connection:
            return connection.scalars(query.order_by(executions.c.started_at, executions.c.id)).all()

    def list_in_progress(self) -> Sequence[ActionKey]:
        """The actions in progress, of all executions: those that `advance` can return."""
        query = select(action_runs.c.key).join(executions, executions.c.id == action_runs.c.execution)
        query = query.where(executions.c.state.in_(OPEN), _IS_IN_PROGRESS)
        with self._database.read() as connection:
            return connection.scalars(query).all()

    def advance(
        self, execution_id: ExecutionId, plan: Callable[[Pipeline, Execution, Sequence[ActionRun]], Plan], now: str
    ) -> Sequence[ActionKey]:
        """Apply what `plan` returns for an execution, in one transaction. Returns its actions in progress.

        Starting an action again under its key does nothing. `plan` is called while other writers wait: it must be
        quick, and must not use the store.
        """
        with self._database.write() as connection:
            execution = _get(connection, execution_id, should_lock=True)
            pipeline = require_pipeline(connection, execution.pipeline, execution.pipeline_version)
            runs = _list_runs(connection, execution_id)
            step = plan(pipeline, execution, runs)
            state = None if step.state is execution.state else step.state
            _start_runs(connection, step.start, now)
            if state is not None:
                _set_state(connection, execution_id, state, step.reason, now)
            keys = connection.scalars(_KEYS_IN_PROGRESS, {"execution": execution_id}).all()
            events = execution_events.advance_events(pipeline, execution, runs, step.start, state, step.reason, now)
            append_events(connection, events)
            return keys

    def mark_waiting(self, key: ActionKey) -> None:
        """Mark an action in progress as waiting. Does nothing when it is over."""
        with self._database.write() as connection:
            if connection.execute(_MARK_WAITING, {"of_key": key}).rowcount == 0:
                _read_run(connection, key)

    def finish(
        self,
        key: ActionKey,
        state: RunState,
        now: str,
        *,
        reason: str | None = None,
        variables: Mapping[str, str] | None = None,
        artifact: str | None = None,
    ) -> bool:
        """End an action. False when it was over already."""
        values = {"reason": reason, "variables": dict(variables or {}), "artifact": artifact, "finished_at": now}
        with self._database.write() as connection:
            if connection.execute(_FINISH_RUN, {"of_key": key, "state": state, **values}).rowcount == 0:
                _read_run(connection, key)
                return False
            append_ends(connection, [key], state, now, reason=reason, variables=variables)
            record_source_commit(connection, key.execution, variables or {})
            return True

    def find_last_succeeded(
        self, pipeline: str, stage: str, action: str, other_than: ExecutionId
    ) -> ExecutionId | None:
        """The execution, except `other_than`, in which this action succeeded last; None if it never did."""
        values = {"pipeline": pipeline, "other_than": other_than}
        with self._database.read() as connection, connection.scalars(_SUCCEEDED_KEYS, values) as keys:
            return next((key.execution for key in keys if (key.stage, key.action) == (stage, action)), None)

    def retry(self, execution_id: ExecutionId, now: str, by: str | None = None) -> Sequence[ActionKey]:
        """Start the failed actions of an execution again, and record who retried. Returns the new runs' keys.

        ConflictError when nothing failed. So a second call raises it: the new runs are in progress.
        """
        with self._database.write() as connection:
            execution = _get(connection, execution_id, should_lock=True)
            pipeline = require_pipeline(connection, execution.pipeline, execution.pipeline_version)
            runs = _list_runs(connection, execution_id)
            keys = plan_retry(pipeline, runs)
            if not keys:
                raise ConflictError(
                    f"execution {execution_id!r} has no failed action (it is {execution.state})",
                    _make_advice(execution),
                )
            _start_runs(connection, keys, now)
            _set_state(connection, execution_id, RunState.IN_PROGRESS, None, now)
            trigger = add_retrier(execution.trigger, by)
            connection.execute(_UPDATE_EXECUTION, {"of_id": execution_id, "trigger": trigger})
            append_events(connection, execution_events.retry_events(pipeline, execution, runs, keys, now))
            return keys

    def stop(self, execution_id: ExecutionId, reason: str, now: str) -> None:
        """Stop an execution and its open actions, and cancel its waiting approvals.

        ConflictError when the execution is over.
        """
        with self._database.write() as connection:
            execution = _get(connection, execution_id, should_lock=True)
            if execution.state.is_final:
                raise ConflictError(
                    f"execution {execution_id!r} is over (it is {execution.state})", _make_advice(execution)
                )
            runs = _list_runs(connection, execution_id)
            is_of_execution = action_runs.c.execution == execution_id
            is_waiting = (
                approvals.c.state == ApprovalState.WAITING,
                approvals.c.id.in_(select(action_runs.c.key).where(is_of_execution)),
            )
            waiting = connection.scalars(lock_rows(select(approvals.c.id).where(*is_waiting).order_by(approvals.c.id)))
            summary = shorten_text(reason, SUMMARY_LIMIT)
            cancellation = {"state": ApprovalState.CANCELLED, "summary": summary, "settled_at": now}
            connection.execute(update(approvals).where(approvals.c.id.in_(waiting.all())).values(**cancellation))
            connection.execute(
                update(action_runs)
                .where(is_of_execution, action_runs.c.state.in_(OPEN))
                .values(state=RunState.STOPPED, reason=reason, finished_at=now)
            )
            _set_state(connection, execution_id, RunState.STOPPED, reason, now)
            pipeline = require_pipeline(connection, execution.pipeline, execution.pipeline_version)
            append_events(connection, execution_events.make_stop_events(pipeline, execution, runs, now))


def finish_runs(
    connection: Connection, keys: Sequence[str], state: RunState, now: str, *, reason: str
) -> Sequence[ActionKey]:
    """End those of these actions that exist and are not over. Returns the keys of these."""
    values = {"state": state, "reason": reason, "finished_at": now}
    return connection.scalars(_FINISH_RUNS, {"keys": make_text_list(keys), **values}).all()


def append_ends(
    connection: Connection,
    keys: Sequence[ActionKey],
    state: RunState,
    now: str,
    *,
    reason: str | None,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Append the events of actions that ended in this transaction, after its other rows."""
    by_id = {}
    ids = sorted({key.execution for key in keys})
    for row in connection.execute(_PIPELINES_OF_EXECUTIONS, {"ids": make_text_list(ids)}).mappings():
        columns = dict(row)
        pipeline = columns.pop("body")
        by_id[columns["id"]] = pipeline, Execution(**columns)
    events: list[NewEvent] = []
    for key in sorted(keys, key=str):
        pipeline, execution = by_id[key.execution]
        run = ActionRun(key, state, reason, dict(variables or {}))
        events.append(execution_events.make_end_event(pipeline, execution, run, now))
        events += execution_events.make_deploy_events(pipeline, execution, run, now)
    append_events(connection, events)


def _get(connection: Connection, execution_id: ExecutionId, *, should_lock: bool = False) -> Execution:
    query = _LOCKED_EXECUTION if should_lock else _EXECUTION_BY_ID
    row = connection.execute(query, {"id": execution_id}).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no execution {execution_id!r}", "See `dockgate pipeline executions NAME`.")
    return Execution(**row)


def _list_runs(connection: Connection, execution_id: ExecutionId) -> Sequence[ActionRun]:
    rows = connection.execute(_RUNS_OF_EXECUTION, {"execution": execution_id}).mappings()
    return [ActionRun(**row) for row in rows]


def _read_run(connection: Connection, key: ActionKey) -> ActionRun:
    row = connection.execute(_RUN_BY_KEY, {"key": key}).mappings().first()
    if row is None:
        raise NotFoundError(
            f"the action {str(key)!r} has not started",
            f"`dockgate pipeline show {key.pipeline}` shows the started actions.",
        )
    return ActionRun(**row)


def _start_runs(connection: Connection, keys: Iterable[ActionKey], now: str) -> None:
    for key in keys:
        run = {"key": key, "execution": key.execution, "state": RunState.IN_PROGRESS, "started_at": now}
        insert_if_new(connection, action_runs, {**run, "reason": None, "variables": {}})


def _set_state(
    connection: Connection, execution_id: ExecutionId, state: RunState, reason: str | None, now: str
) -> None:
    values = {"state": state, "reason": reason, "finished_at": now if state.is_final else None}
    connection.execute(_UPDATE_EXECUTION, {"of_id": execution_id, **values})


def _make_advice(execution: Execution) -> str:
    return f"`dockgate pipeline show {execution.pipeline}` shows its state."
