"""What a server or worker does in the background: workflows, scans, the outbox, and the reconciler's tasks."""

from collections.abc import Sequence
from datetime import timedelta

from dockgate.services.approval_decisions import WaitingApprovals
from dockgate.services.approval_pubsub import ApprovalPubSub
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects, Starter
from dockgate.services.error_isolation import for_each
from dockgate.services.event_dispatch import CLOCK_DIFFERENCE, TOPIC_DAYS
from dockgate.services.git_pushes import GitPushes
from dockgate.services.outbox import OutboxWorker
from dockgate.services.rounds import LeftBehind
from dockgate.services.scans import ScanScheduler
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.records import OutboxKind
from dockgate.store.signals import Signals
from dockgate.workflows.engine import DRAIN_SECONDS, Engine
from dockgate.workflows.leases import Lease
from dockgate.workflows.queues import Queue
from dockgate.workflows.reconciler import Reconciler

# How long dead letters are stored at least: a failed message is retried for a day.
LEAST_LETTER_DAYS = 2
# A message is due within a day: after quiet hours, or after a pause. What is due later was written by a wrong clock.
LONGEST_DELAY = timedelta(hours=25)
# How long messages to targets are stored after they were sent.
DELIVERED_DAYS = 1
# How long workflows are stored after their end.
WORKFLOW_DAYS = 1


class BackgroundTasks:
    """Starts and stops all of it."""

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
        """Continue what a crash interrupted: dbos its workflows, the reconciler what was written but not started."""
        self._lease.start()
        self._is_launched = True
        self._engine.launch()
        self._signals.start()
        self._git_pushes.recover()
        self._reconciler.start()
        if Queue.DELIVER in self._queues:
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


class Recovery:
    """Starts what a crash, a broken workflow or a lost message left undone. Where nothing is, it does nothing."""

    def __init__(self, store: Store, scans: ScanScheduler, waiting: WaitingApprovals, starter: Starter) -> None:
        self._store = store
        self._scans = scans
        self._waiting = waiting
        self._starter = starter
        self._unanswered: LeftBehind[str] = LeftBehind()

    def start_events(self) -> None:
        """Start the events that were written, but not started before the server ended."""
        for_each([event.id for event in self._store.events.unhandled_events()], self._starter.start_event)

    def start_scans(self) -> None:
        """Start the scans that were requested and run nowhere."""
        for_each(self._store.images.requested_scans(), self._scans.start, lambda scan: scan.image)

    def continue_executions(self) -> None:
        """Continue approvals, executions and rollouts whose workflow broke. One that fails blocks no other."""
        steps = (self._request_scans, self._answer_approvals, self._continue_executions, self._continue_rollouts)
        for_each(steps, lambda step: step(), lambda step: step.__name__)

    def _request_scans(self) -> None:
        waiting = self._store.approvals.unscanned_approvals()
        for_each(
            waiting, lambda approval: self._scans.request(approval.repository, approval.image), lambda each: each.id
        )

    def _answer_approvals(self) -> None:
        """A scan that has just ended answers its approvals itself."""
        for_each(self._unanswered.among(self._store.approvals.answerable_images()), self._waiting.answer)

    def _continue_executions(self) -> None:
        for_each(self._store.executions.runnable(), self._starter.proceed)

    def _continue_rollouts(self) -> None:
        for_each(self._store.rollouts.in_progress(), self._starter.start_rollout, lambda rollout: rollout.id)


class Purge:
    """Deletes settled approvals, events, dead letters and ended fixes that are older than `keep_days`."""

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, keep_days: float) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._keep_days = keep_days

    def run(self) -> None:
        days = self._keep_days
        self._effects.run(EffectKind.PURGE, self._store.approvals.purge, self._clock.ago(days))
        self._effects.run(EffectKind.PURGE, self._store.fixes.purge, self._clock.ago(days))
        self._effects.run(EffectKind.PURGE, self._store.event_log.purge, self._clock.ago(days))
        before = self._clock.ago(max(days, LEAST_LETTER_DAYS))
        self._effects.run(EffectKind.PURGE, self._store.outbox.purge, OutboxKind.VERDICT_CHANGE, before)
        outbox, delivered = self._store.outbox, self._clock.ago(DELIVERED_DAYS)
        self._effects.run(EffectKind.PURGE, outbox.purge_delivered, OutboxKind.EVENT, delivered)
        self._effects.run(EffectKind.PURGE, outbox.purge, OutboxKind.EVENT, before)
        ahead = format_time(self._clock() + CLOCK_DIFFERENCE)
        self._effects.run(EffectKind.PURGE, self._store.event_cursor.purge_topics, self._clock.ago(TOPIC_DAYS), ahead)
        latest = format_time(self._clock() + LONGEST_DELAY)
        self._effects.run(EffectKind.PURGE, outbox.bring_forward, latest, self._clock.now())


class WorkflowRetention:
    """Deletes workflows that ended a day ago and whose event, action or rollout can start them no more."""

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, engine: Engine) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._engine = engine

    def run(self) -> None:
        """Delete what is due. Nothing becomes startable meanwhile that has ended before: every start has a new key."""
        startable = {
            *(event.id for event in self._store.events.unhandled_events()),
            *(str(key) for key in self._store.executions.in_progress()),
            *(rollout.id for rollout in self._store.rollouts.in_progress()),
        }
        before = self._clock() - timedelta(days=WORKFLOW_DAYS)
        self._effects.run(EffectKind.PURGE, self._engine.delete_ended, before, startable.__contains__)
