"""What a server does in the background: workflows, scans, the outbox, and the reconciler's tasks."""

from dockgate.services.approval_decisions import WaitingApprovals
from dockgate.services.approval_pubsub import ApprovalPubSub
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects, Starter
from dockgate.services.git_pushes import GitPushes
from dockgate.services.outbox import OutboxWorker
from dockgate.services.scans import ScanScheduler
from dockgate.store import Store
from dockgate.store.records import OutboxKind
from dockgate.workflows.reconciler import Reconciler
from dockgate.workflows.starter import DbosStarter

# How long notices are stored at least: a failed one is retried for a day.
LEAST_NOTICE_DAYS = 2


class BackgroundTasks:
    """Starts and stops all of it."""

    def __init__(
        self,
        starter: DbosStarter,
        git_pushes: GitPushes,
        scans: ScanScheduler,
        outbox: OutboxWorker,
        pubsub: ApprovalPubSub,
        reconciler: Reconciler,
    ) -> None:
        self._starter = starter
        self._git_pushes = git_pushes
        self._scans = scans
        self._outbox = outbox
        self._pubsub = pubsub
        self._reconciler = reconciler
        self._is_closed = False

    def launch(self) -> None:
        """Continue what a crash interrupted: dbos its workflows, the reconciler what was written but not started."""
        self._starter.launch()
        self._git_pushes.recover()
        self._reconciler.start()
        self._outbox.start()

    def close(self) -> None:
        """Begin nothing more, and wait a moment for what runs; the rest continues at the next launch.

        May be called without `launch`, and twice.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._reconciler.stop_soon()
        self._outbox.close()
        self._scans.close()
        self._pubsub.publish_all()
        self._reconciler.close()
        self._starter.close()


class Recovery:
    """Starts what a crash, a broken workflow or a lost message left undone. Where nothing is, it does nothing."""

    def __init__(self, store: Store, scans: ScanScheduler, waiting: WaitingApprovals, starter: Starter) -> None:
        self._store = store
        self._scans = scans
        self._waiting = waiting
        self._starter = starter

    def start_recorded(self) -> None:
        """Start the events and scans that were written, but not started before the server ended."""
        for event in self._store.events.unhandled():
            self._starter.start_event(event.id)
        for scan in self._store.images.requested_scans():
            self._scans.start(scan)

    def continue_executions(self) -> None:
        """Continue approvals, executions and rollouts whose workflow broke."""
        for approval in self._store.approvals.unscanned():
            self._scans.request(approval.repository, approval.image)
        for image in self._store.approvals.answerable_images():
            self._waiting.answer(image)
        for execution in self._store.executions.runnable():
            self._starter.proceed(execution)
        for rollout in self._store.rollouts.in_progress():
            self._starter.start_rollout(rollout)


class Purge:
    """Deletes settled approvals, handled events and delivered notices that are older than `keep_days`."""

    def __init__(self, store: Store, clock: ServerClock, effects: Effects, keep_days: float) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects
        self._keep_days = keep_days

    def run(self) -> None:
        days = self._keep_days
        self._effects.run(EffectKind.PURGE, self._store.approvals.purge, self._clock.ago(days))
        before = self._clock.ago(max(days, LEAST_NOTICE_DAYS))
        self._effects.run(EffectKind.PURGE, self._store.outbox.purge, OutboxKind.NOTIFICATION, before)
