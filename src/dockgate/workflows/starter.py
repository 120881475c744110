"""Start durable work (`services.effects.Starter`) by workflow, key and workers."""

from collections.abc import Sequence

from dockgate.delivery.model import ActionKey, ActionType
from dockgate.delivery.pipeline import plan_next
from dockgate.delivery.service_model import Rollout
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects, Starter, UnservedQueue
from dockgate.services.pipelines.actions import read_definition
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.store.records import Worker, WorkerState
from dockgate.workflows.engine import Engine
from dockgate.workflows.queues import Queue, Workflow, dbos_queues

_WORKFLOWS = {
    ActionType.SOURCE: Workflow.RUN_ACTION,
    ActionType.BUILD: Workflow.BUILD,
    ActionType.APPROVAL: Workflow.RUN_ACTION,
    ActionType.DEPLOY: Workflow.DEPLOY,
}


class WorkflowStarter(Starter):
    """Starts workflows."""

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, engine: Engine) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._engine = engine

    @override
    def continue_execution(self, execution: str) -> None:
        """Start the actions that follow from those that have ended. An action that runs is not started again."""

        def advance() -> list[str]:
            return [str(key) for key in self._store.executions.advance(execution, plan_next, self._clock.now())]

        for text in self._effects.run(EffectKind.ADVANCE, advance):
            _, action = read_definition(self._store, ActionKey.parse(text))
            self._engine.begin(_WORKFLOWS[action.type], text, text, action.labels)

    @override
    def start_event(self, event_id: str) -> None:
        self._engine.begin(Workflow.HANDLE_EVENT, f"event/{event_id}", event_id)

    @override
    def start_rollout(self, rollout: Rollout) -> None:
        self._engine.begin(Workflow.ROLL_OUT, f"rollout/{rollout.id}", rollout.id)

    @override
    def unserved_queues(self, workers: Sequence[Worker]) -> Sequence[UnservedQueue]:
        """The queues that none of these workers takes work from.

        Those of labels that a build waits for are included.
        """
        active = [worker for worker in workers if worker.state is WorkerState.ACTIVE]
        served = {queue for worker in active for queue in worker.queues}
        served |= {place.name for worker in active for place in dbos_queues(worker.queues, worker.labels)}
        waiting = self._engine.waiting_counts()
        names = dict.fromkeys([*(queue.value for queue in Queue), *sorted(waiting)])
        return [UnservedQueue(name, waiting.get(name, 0)) for name in names if name not in served]
