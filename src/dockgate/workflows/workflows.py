"""Workflows: what starts each, by its key and the workers that may run it, and its body.

A body runs its effects, writes their results, and starts what follows under its own key. It decides only by the results
of effects: so it takes the same path again after a crash.

A wait is a row: an approval action ends its workflow, and the answer continues the execution (`continue_execution`).
A changed body needs a new APPLICATION_VERSION, and a migration of what is pending under the old one.
"""

import logging
from collections.abc import Sequence

from dbos import error as dbos_error

from dockgate.delivery.labels import NO_LABELS, Labels
from dockgate.delivery.model import ActionKey, ActionType, ExecutionId, RunState
from dockgate.delivery.pipeline import plan_next
from dockgate.delivery.service_model import Rollout, RolloutKey
from dockgate.services.approvals.requests import ApprovalRequests
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.images.scans import ScanScheduler
from dockgate.services.pipelines.actions import ActionResult, Actions, read_definition
from dockgate.services.pipelines.deployments import Deployments, Rollouts
from dockgate.services.pipelines.executions import Executions
from dockgate.services.workflow_starter import Starter, UnservedQueue
from dockgate.shared.errors import DockgateError, NotFoundError, StoreError
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.store.records import Worker, WorkerState
from dockgate.workflows.engine import Engine
from dockgate.workflows.queues import Workflow, WorkKind, list_dbos_queues

_log = logging.getLogger(__name__)

_WORKFLOW_OF_ACTION = {
    ActionType.SOURCE: Workflow.RUN_ACTION,
    ActionType.BUILD: Workflow.BUILD,
    ActionType.APPROVAL: Workflow.RUN_ACTION,
    ActionType.DEPLOY: Workflow.DEPLOY,
}


class WorkflowStarter(Starter):
    """A starter of workflows."""

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, engine: Engine) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._engine = engine

    @override
    def continue_execution(self, execution: ExecutionId) -> None:
        """Start the actions that follow from those that have ended. An action that runs is not started again."""

        def advance() -> list[str]:
            return [str(key) for key in self._store.executions.advance(execution, plan_next, self._clock.now())]

        for text in self._effects.run(EffectKind.ADVANCE, advance):
            _, action = read_definition(self._store, ActionKey.parse(text))
            self._engine.begin(_WORKFLOW_OF_ACTION[action.type], text, text, action.labels)

    @override
    def start_event(self, event_id: str) -> None:
        self._engine.begin(Workflow.HANDLE_EVENT, f"event/{event_id}", event_id)

    @override
    def start_rollout(self, rollout: Rollout) -> None:
        self._engine.begin(Workflow.ROLL_OUT, f"rollout/{rollout.id}", rollout.id)

    @override
    def list_unserved_queues(self, workers: Sequence[Worker]) -> Sequence[UnservedQueue]:
        """The queues that none of these workers takes work from.

        Those of labels that a build waits for are included.
        """
        active = [worker for worker in workers if worker.state is WorkerState.ACTIVE]
        served_queues = {queue for worker in active for queue in worker.queues}
        served_queues |= {
            selector.name for worker in active for selector in list_dbos_queues(worker.queues, worker.labels)
        }
        waiting = self._engine.count_waiting()
        names = dict.fromkeys([*(queue.value for queue in WorkKind), *sorted(waiting)])
        return [UnservedQueue(name, waiting.get(name, 0)) for name in names if name not in served_queues]


class Workflows:
    """The durable workflows of events, actions and rollouts. Made before `Engine.launch`."""

    def __init__(
        self,
        engine: Engine,
        starter: Starter,
        store: Store,
        executions: Executions,
        actions: Actions,
        approval_requests: ApprovalRequests,
        approval_settler: ApprovalSettler,
        scans: ScanScheduler,
        deployments: Deployments,
        rollouts: Rollouts,
        clock: ServerClock,
        effects: Effects,
    ) -> None:
        self._starter = starter
        self._store = store
        self._executions = executions
        self._actions = actions
        self._approval_requests = approval_requests
        self._approval_settler = approval_settler
        self._scans = scans
        self._deployments = deployments
        self._rollouts = rollouts
        self._clock = clock
        self._effects = effects
        engine.register(Workflow.HANDLE_EVENT, self._handle_event)
        for workflow in (Workflow.RUN_ACTION, Workflow.BUILD, Workflow.DEPLOY):
            engine.register(workflow, self._run_action)
        engine.register(Workflow.ROLL_OUT, self._roll_out)

    def _handle_event(self, event_id: str) -> None:
        """Start every pipeline that has the pushed branch as a source."""
        event = self._store.push_events.get(event_id)

        def record_triggered() -> list[str]:  # plain text: dbos stores it pickled
            return [str(execution) for execution in self._executions.record_triggered(event)]

        for text in self._effects.run(EffectKind.START_EXECUTION, record_triggered):
            self._starter.continue_execution(ExecutionId(text))
        self._effects.run(
            EffectKind.MARK_EVENT_HANDLED, self._store.push_events.mark_handled, event.id, self._clock.now()
        )

    def _roll_out(self, rollout_id: str) -> None:
        key = RolloutKey.parse(rollout_id)
        try:
            self._effects.run(EffectKind.ROLL_OUT, self._rollouts.run, key.service, key.number)
        except Exception as error:
            _require_store(error)
            self._effects.run(EffectKind.FINISH, self._rollouts.fail, key.service, key.number, explain(error))

    def _run_action(self, key_text: str) -> None:
        key = ActionKey.parse(key_text)
        try:
            result = self._perform(key)
        except Exception as error:
            _require_store(error)
            self._finish(key, RunState.FAILED, explain(error), ActionResult())
        else:
            if result is not None:
                self._finish(key, RunState.SUCCEEDED, None, result)
        self._starter.continue_execution(key.execution)

    def _perform(self, key: ActionKey) -> ActionResult | None:
        """The result of the action; None for an approval, which its answer finishes."""
        run, actions = self._effects.run, self._actions
        _, action = read_definition(self._store, key)
        if action.type is ActionType.SOURCE:
            return run(EffectKind.SOURCE, actions.fetch_source, key)
        if action.type is ActionType.BUILD:
            build_result = run(EffectKind.BUILD, actions.build, key)
            return run(EffectKind.IMAGE_DEFINITIONS, actions.record_build, key, build_result)
        if action.type is ActionType.DEPLOY:
            definition = run(EffectKind.REGISTER_REVISION, self._deployments.register_revision, key)
            return run(EffectKind.DEPLOY, self._deployments.deploy, key, definition)
        scan = run(EffectKind.REQUEST_APPROVAL, self._approval_requests.request_for_action, key)
        self._scans.start(scan)

        def answer() -> None:
            self._approval_settler.settle(scan.image)

        run(EffectKind.ANSWER, answer)
        return None

    def _finish(self, key: ActionKey, state: RunState, reason: str | None, result: ActionResult) -> None:
        def finish() -> bool:
            return self._store.executions.finish(
                key, state, self._clock.now(), reason=reason, variables=result.variables, artifact=result.artifact
            )

        self._effects.run(EffectKind.FINISH, finish)


def find_labels(store: Store, workflow: Workflow, argument: str) -> Labels:
    """The labels that a worker needs for a workflow with this argument; none if its execution was deleted."""
    if workflow is not Workflow.BUILD:
        return NO_LABELS
    try:
        return read_definition(store, ActionKey.parse(argument))[1].labels
    except NotFoundError:
        return NO_LABELS


def explain(error: Exception) -> str:
    """Return what people read of an error.

    Our own errors explain themselves; any other is a defect, and its traceback goes to the log.
    """
    error = _find_cause(error)
    if isinstance(error, DockgateError):
        return error.full_message
    _log.error("an action failed because of a defect", exc_info=error)
    return f"internal fault: {type(error).__name__}: {error}. The server's log has the trace."


def _find_cause(error: Exception) -> Exception:
    """The error of a step's last attempt; another error itself."""
    if isinstance(error, dbos_error.DBOSMaxStepRetriesExceeded) and error.errors:
        return error.errors[-1]
    return error


def _require_store(error: Exception) -> None:
    """Raise an error of the store, which breaks the workflow.

    The reconciler starts it again when the store is back.
    """
    if isinstance(_find_cause(error), StoreError):
        raise error
