"""The results of executions for people: a failure is the answer of an approval, or an error."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, exists, func, not_, select

from dockgate.delivery.model import ActionKey, Approval, ApprovalState, ExecutionResult, RunState
from dockgate.gate.model import Status
from dockgate.store.engine import Database
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.schema.delivery import action_runs, approvals, executions, votes
from dockgate.store.schema.gate import verdicts

_HAS_RUN = exists().where(action_runs.c.execution == executions.c.id).correlate(executions)
_WAITS = _HAS_RUN.where(action_runs.c.state == RunState.WAITING)
_RUNS = _HAS_RUN.where(action_runs.c.state == RunState.IN_PROGRESS)
# A retry starts all that failed again: the last failure is one of those that stopped the execution.
_LAST_FAILURE = (
    select(action_runs.c.key)
    .where(action_runs.c.execution == executions.c.id, action_runs.c.state == RunState.FAILED)
    .order_by(action_runs.c.seq.desc())
    .limit(1)
    .correlate(executions)
    .scalar_subquery()
)
_IS_REJECTED = exists().where(approvals.c.id == _LAST_FAILURE, approvals.c.state == ApprovalState.REJECTED)
_HAS_VERDICT = and_(verdicts.c.image == approvals.c.image, verdicts.c.digest == approvals.c.verdict)
_IS_UNDETERMINED = _IS_REJECTED.where(_HAS_VERDICT, verdicts.c.status == Status.UNDETERMINED)
_REJECTIONS = (
    select(action_runs.c.key, verdicts.c.status)
    .join(approvals, approvals.c.id == action_runs.c.key)
    .outerjoin(verdicts, _HAS_VERDICT)
    .where(is_one_of(action_runs.c.execution, "executions"), action_runs.c.state == RunState.FAILED)
    .where(approvals.c.state == ApprovalState.REJECTED)
)
_APPROVING_VOTES = (
    select(func.count())
    .where(votes.c.approval == approvals.c.id, votes.c.is_yes)
    .correlate(approvals)
    .scalar_subquery()
)
_WAITING = (
    select_as(Approval, approvals)
    .add_columns(_APPROVING_VOTES.label("supporters"))
    .join(action_runs, action_runs.c.key == approvals.c.id)
    .where(is_one_of(action_runs.c.execution, "executions"), action_runs.c.state == RunState.WAITING)
    .where(approvals.c.state == ApprovalState.WAITING)
    .order_by(approvals.c.seq)
)


def has_result(result: ExecutionResult) -> ColumnElement[bool]:
    """Return whether a row of the executions table has this result."""
    match result:
        case ExecutionResult.UNDETERMINED:
            return and_(executions.c.state == RunState.FAILED, _IS_UNDETERMINED)
        case ExecutionResult.REJECTED:
            return and_(executions.c.state == RunState.FAILED, _IS_REJECTED, not_(_IS_UNDETERMINED))
        case ExecutionResult.FAILED:
            return and_(executions.c.state == RunState.FAILED, not_(_IS_REJECTED))
        case ExecutionResult.WAITING:
            return and_(executions.c.state == RunState.IN_PROGRESS, _WAITS, not_(_RUNS))
        case ExecutionResult.IN_PROGRESS:
            return and_(executions.c.state == RunState.IN_PROGRESS, not_(and_(_WAITS, not_(_RUNS))))
    return executions.c.state == RunState(result)


def make_execution_conditions(
    pipeline: str, state: RunState | None, result: ExecutionResult | None
) -> Sequence[ColumnElement[bool]]:
    """The conditions of the executions of a pipeline: in a state and with a result, if given."""
    conditions = [executions.c.pipeline == pipeline]
    if state is not None:
        conditions.append(executions.c.state == state)
    return conditions if result is None else [*conditions, has_result(result)]


class ExecutionResults:
    """Answers of the approvals on which executions wait, or for which they failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_rejections(self, execution_ids: Collection[str]) -> dict[ActionKey, Status]:
        """The failed actions of the executions whose approval was rejected, each with why.

        That is UNDETERMINED where the verdict is, and REJECTED otherwise.
        """
        with self._database.read() as connection:
            rows = connection.execute(_REJECTIONS, {"executions": make_text_list(sorted(execution_ids))}).all()
        return {key: status if status is Status.UNDETERMINED else Status.REJECTED for key, status in rows}

    def list_waiting_approvals(self, execution_ids: Collection[str]) -> Sequence[tuple[Approval, int]]:
        """The approvals on which the executions wait, the oldest first, each with its number of yes votes."""
        waiting = []
        with self._database.read() as connection:
            for row in connection.execute(_WAITING, {"executions": make_text_list(sorted(execution_ids))}).mappings():
                columns = dict(row)
                supporters = columns.pop("supporters")
                waiting.append((Approval(**columns), supporters))
        return waiting
