"""Run workflows, scans, the outbox and the reconciler in the background."""

from collections.abc import Sequence
from datetime import timedelta

from dockgate.services.approvals.pubsub import ApprovalPubSub
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.images.scans import ScanScheduler
from dockgate.services.notifications.outbox import OutboxWorker
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.store import Store
from dockgate.store.signals import Signals
from dockgate.workflows.engine import DRAIN_SECONDS, Engine
from dockgate.workflows.leases import Lease
from dockgate.workflows.queues import WorkKind
from dockgate.workflows.reconciler import Reconciler

# How long workflows are stored after their end.
WORKFLOW_DAYS = 1


class BackgroundTasks:
    """The background work of a process, from start to drain and stop.

    It consists of workflows, reconciler, outbox, signals and scans.
    """

    def __init__(
        self,
        engine: Engine,
        lease: Lease,
        signals: Signals,
        queues: Sequence[str],
        git_pushes: GitPushes,
        scans: ScanScheduler,
        outbox: OutboxWorker,
        pubsub: ApprovalPubSub,
        reconciler: Reconciler,
    ) -> None:
        self._engine = engine
        self._lease = lease
        self._signals = signals
        self._queues = queues
        self._git_pushes = git_pushes
        self._scans = scans
        self._outbox = outbox
        self._pubsub = pubsub
        self._reconciler = reconciler
        self._is_launched = False
        self._is_closed = False

    def launch(self) -> None:
        """Continue what a crash interrupted.

        dbos continues its workflows, the reconciler what was written but not started.
        """
        self._lease.start()
        self._is_launched = True
        self._engine.launch()
        self._signals.start()
        self._git_pushes.recover()
        self._reconciler.start()
        if WorkKind.DELIVER in self._queues:
            self._outbox.start()

    def drain(self) -> None:
        """Begin nothing more, and wait until every workflow that runs has ended, for hours if need be."""
        self._close(DRAIN_SECONDS)

    def close(self) -> None:
        """Begin nothing more, and wait a moment for what runs; the rest continues at the next launch.

        May be called without `launch`, and twice.
        """
        self._close()

    def _close(self, patience_seconds: float | None = None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._reconciler.stop_soon()
        self._signals.close()
        self._outbox.close()
        self._scans.close()
        self._pubsub.publish_all()
        self._reconciler.close()
        self._engine.close() if patience_seconds is None else self._engine.close(patience_seconds)
        if self._is_launched:
            self._lease.close()


class WorkflowRetention:
    """The removal of workflows that nothing needs.

    These are those that ended a day ago, unless their event, action or rollout can start them; and those that wait in
    a queue for what was stopped meanwhile.
    """

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, engine: Engine) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._engine = engine

    def run(self) -> None:
        """Delete what is due.

        Nothing becomes startable meanwhile that has ended before: every start has a new key.
        """
        waiting = self._engine.list_unbegun()  # first: what is enqueued later is startable
        startable = {
            *(event.id for event in self._store.push_events.list_unhandled()),
            *(str(key) for key in self._store.executions.list_in_progress()),
            *(rollout.id for rollout in self._store.rollouts.list_in_progress()),
        }
        stopped_ids = [name for name, argument in waiting.items() if argument not in startable]
        self._effects.run(EffectKind.PURGE, self._engine.end_waiting, stopped_ids)
        before = self._clock() - timedelta(days=WORKFLOW_DAYS)
        self._effects.run(EffectKind.PURGE, self._engine.delete_ended, before, startable.__contains__)
