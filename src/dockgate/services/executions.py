"""Executions of pipelines: started, retried and stopped."""

from dockgate.delivery.model import Execution
from dockgate.delivery.pipeline import manual_trigger
from dockgate.events.model import Event
from dockgate.services.approval_pubsub import ApprovalPubSub
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects, Starter
from dockgate.store import Store


class Executions:
    """Starts, retries and stops executions."""

    def __init__(
        self, store: Store, clock: ServerClock, effects: Effects, starter: Starter, pubsub: ApprovalPubSub
    ) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._starter = starter
        self._pubsub = pubsub

    def start(self, pipeline: str, cause: str, by: str) -> Execution:
        """Start a pipeline by hand at the heads of its source branches, once for each cause.

        `by` is a principal, "" before there are any.
        """
        start, trigger = self._store.executions.start, manual_trigger(by)
        execution = self._effects.run(EffectKind.START_EXECUTION, start, pipeline, cause, trigger, self._clock.now())
        self._starter.proceed(execution.id)
        return execution

    def record_triggered(self, event: Event) -> list[str]:
        """Record an execution of each pipeline that has the pushed branch as a source, once for each event.

        Return their ids.
        """
        executions = []
        pushed = event.detail["repository"], event.detail["branch"]
        for name in self._store.pipelines.names():
            sources = self._store.pipelines.get(name).stages[0].actions
            if pushed in {(action.configuration["repository"], action.configuration["branch"]) for action in sources}:
                executions.append(self._store.executions.start(name, event.id, event.detail, self._clock.now()).id)
        return executions

    def retry(self, execution: str, by: str) -> None:
        """Try the failed actions of the stage that failed again."""
        self._effects.run(EffectKind.RETRY, self._store.executions.retry, execution, self._clock.now(), by)
        self._starter.proceed(execution)

    def stop(self, execution: str, reason: str) -> None:
        """Stop an execution. The action that runs now ends by itself, and its result is dropped."""
        self._effects.run(EffectKind.STOP, self._store.executions.stop, execution, reason, self._clock.now())
        self._pubsub.publish([str(run.key) for run in self._store.executions.runs(execution)])
