"""Executions of pipelines: started, retried and stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.delivery.model import ActionKey, ApprovalId, Execution, ExecutionId
from dockgate.delivery.pipeline import list_source_branches
from dockgate.delivery.trigger import make_manual_trigger
from dockgate.events.model import PushEvent
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.workflow_starter import Starter
from dockgate.shared.reasons import require_short_reason
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class Executions:
    """Executions: start, retry and stop. `publish` wakes those who wait for approvals, by their ids."""

    store: Store
    clock: ServerClock
    effects: Effects
    starter: Starter
    publish: Callable[[Sequence[ApprovalId]], None]

    def start(self, pipeline: str, cause: str, by: str | None, *, is_fresh: bool = False) -> Execution:
        """Start a pipeline by hand at the heads of its source branches, once for each cause.

        `by` is a principal, None before there are any. With `is_fresh`, builds take nothing from earlier builds.
        """
        start, trigger = self.store.executions.start, make_manual_trigger(by, is_fresh=is_fresh)
        execution = self.effects.run(EffectKind.START_EXECUTION, start, pipeline, cause, trigger, self.clock.now())
        self.starter.continue_execution(execution.id)
        return execution

    def record_triggered(self, event: PushEvent) -> list[ExecutionId]:
        """Record an execution of each pipeline that has the pushed branch as a source, once for each event.

        Return their ids.
        """
        executions = []
        pushed_branch = event.detail["repository"], event.detail["branch"]
        for pipeline in self.store.pipelines.list_newest():
            if pushed_branch in list_source_branches(pipeline):
                execution = self.store.executions.start(pipeline.name, event.id, event.detail, self.clock.now())
                executions.append(execution.id)
        return executions

    def retry(self, execution: ExecutionId, by: str | None) -> Sequence[ActionKey]:
        """Try the failed actions of the stage that failed again. Returns the keys of the new attempts."""
        keys = self.effects.run(EffectKind.RETRY, self.store.executions.retry, execution, self.clock.now(), by)
        self.starter.continue_execution(execution)
        return keys

    def stop(self, execution: ExecutionId, reason: str) -> None:
        """Stop an execution. The action that runs now ends by itself, and its result is dropped.

        UsageError for a long reason.
        """
        require_short_reason(reason)
        self.effects.run(EffectKind.STOP, self.store.executions.stop, execution, reason, self.clock.now())
        self.publish([ApprovalId.from_action(run.key) for run in self.store.executions.list_runs(execution)])
