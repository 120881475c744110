"""Make a server from its use cases: workflows, repeated tasks and the outbox."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dockgate.bootstrap.dependencies import Adapters, Options
from dockgate.bootstrap.use_cases import UseCases, make_use_cases
from dockgate.gate.model import Policy
from dockgate.server.log_limit import shorten_logs
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects, Observer, observe_nothing
from dockgate.services.notifications.event_delivery import EventDeliveryHandler
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.outbox import OutboxHandler, OutboxWorker
from dockgate.services.notifications.outbox_handlers import (
    AttestationHandler,
    ProvenanceHandler,
    VerdictChangeHandler,
    WebhookHandler,
)
from dockgate.services.recovery import Recovery
from dockgate.services.web_services import WebServices
from dockgate.services.workflow_starter import Starter
from dockgate.store import Store
from dockgate.store.records import OutboxKind, Worker
from dockgate.store.signals import Topic
from dockgate.workflows.background_tasks import BackgroundTasks, WorkflowRetention
from dockgate.workflows.engine import APPLICATION_VERSION, Engine
from dockgate.workflows.leases import DEFAULT_TIMES, IDLE_TIMES, FailureDetector, Lease, LeaseTimes, end_process
from dockgate.workflows.queues import WorkKind
from dockgate.workflows.reconciler import Reconciler, RepeatedTask, TaskGroup
from dockgate.workflows.workflows import Workflows, WorkflowStarter, find_labels

# In rounds of the reconciler.
EXECUTIONS_EVERY = 5
FIXES_EVERY = 3
SERVICES_EVERY = 5
OTHER_REPOSITORIES_EVERY = 5
PURGE_EVERY = 30
PRESENCE_EVERY = 30  # once a minute
PLAN_EVERY = 5
STALE_FEEDS_EVERY = 30
LOCAL_STORAGE_EVERY = 15


@dataclass(frozen=True, slots=True)
class AssembledServer:
    """A server that is not launched yet."""

    services: WebServices
    use_cases: UseCases
    background: BackgroundTasks
    workflow_retention: WorkflowRetention


def assemble(
    adapters: Adapters,
    options: Options,
    observe: Observer = observe_nothing,
    read_policy: Callable[[str], Policy] | None = None,
    on_drain: Callable[[], None] = lambda: None,
    on_lost: Callable[[], None] = end_process,
    check: Callable[[], None] = lambda: None,
    lease_times: LeaseTimes = DEFAULT_TIMES,
) -> AssembledServer:
    """Make a server; without its web application it is a worker.

    `on_drain` is called when an operator drains this process, `on_lost` when others have taken over its work. While
    `check` raises UnavailableError, the worker sends no heartbeat and updates no feed. For tests, `observe` is called
    before and after each effect, and `read_policy` replaces the policies that images are judged by.
    """
    store, clock = adapters.store, ServerClock(adapters.clock)
    lease_times = lease_times if store.database.is_shared else IDLE_TIMES
    worker = make_worker(store, options, clock)
    lease = Lease(store.workers, worker, clock, on_drain, on_lost, check, lease_times)
    engine = Engine(store, worker, lease if store.database.is_shared else None, partial(find_labels, store))
    effects = Effects(observe, engine.run_step, engine.fence)
    starter = WorkflowStarter(store, clock, effects, engine)
    use_cases = make_use_cases(adapters, options, clock, effects, starter, read_policy)
    services = use_cases.services
    Workflows(
        engine,
        starter,
        store,
        services.delivery.executions,
        use_cases.actions,
        services.approvals.requests,
        use_cases.approval_settler,
        services.images.scans,
        use_cases.deployments,
        services.delivery.rollouts,
        clock,
        effects,
    )
    retention = WorkflowRetention(store, use_cases.retention_clock, effects, engine)
    groups = _make_task_groups(adapters, options, use_cases, starter, retention, check)
    if store.database.is_shared:

        def recover(lost_worker: Worker) -> None:
            store.database.end_sessions(lost_worker.id)
            engine.recover(lost_worker.id)
            store.outbox.release(lost_worker.id)
            services.sources.pushes.recover()

        detector = FailureDetector(store.workers, store.locks, recover, engine.requeue_other_versions, lease_times)
        if WorkKind.UPKEEP in options.queues:
            groups.append(TaskGroup("orphans", [RepeatedTask("orphans", engine.recover_orphans, EXECUTIONS_EVERY)]))
        groups.append(TaskGroup("workers", [RepeatedTask("workers", detector.run)], is_exclusive=False))
    reconciler = Reconciler(store.locks, options.pause_seconds, groups)
    handlers = _make_outbox_handlers(adapters, options, services.events.targets, effects)
    priority = services.images.scans.answer_priority
    outbox = OutboxWorker(store.outbox, handlers, effects, adapters.clock, worker.id, options.pause_seconds, priority)
    _receive_signals(adapters.store, options, use_cases, outbox, starter)
    background = BackgroundTasks(
        engine,
        lease,
        store.signals,
        options.queues,
        services.sources.pushes,
        services.images.scans,
        outbox,
        services.approvals.pubsub,
        reconciler,
    )
    return AssembledServer(services, use_cases, background, retention)


def make_worker(store: Store, options: Options, clock: ServerClock) -> Worker:
    """Describe this process as a worker."""
    node, now = socket.gethostname(), clock.now()
    return Worker(
        store.workers.own_id, node, APPLICATION_VERSION, options.queues, options.labels, started_at=now, seen_at=now
    )


def _receive_signals(
    store: Store, options: Options, use_cases: UseCases, outbox: OutboxWorker, starter: Starter
) -> None:
    """Do at once the work that other processes signal, and signal to them the messages that this one does not send."""
    signals, scans = store.signals, use_cases.services.images.scans
    if WorkKind.SCAN in options.queues:
        recovery = Recovery(store, scans, use_cases.approval_settler, starter)
        signals.receive(Topic.SCANS, lambda _: recovery.start_scans())
    else:
        signals.receive(Topic.SCANS, lambda _: None)
    if WorkKind.DELIVER in options.queues:

        def wake(kinds: Sequence[str]) -> None:
            for kind in kinds:
                outbox.wake(OutboxKind(kind))

        signals.receive(Topic.OUTBOX, wake)
    else:
        signals.receive(Topic.OUTBOX, lambda _: None)
        store.outbox.watch(lambda kind: signals.send(Topic.OUTBOX, [kind.value]))


def _make_task_groups(
    adapters: Adapters,
    options: Options,
    use_cases: UseCases,
    starter: Starter,
    workflow_retention: WorkflowRetention,
    check: Callable[[], None],
) -> list[TaskGroup]:
    """The reconciler's tasks.

    Those of one group wait for each other: what takes long has a group of its own.
    """
    services, pushes = use_cases.services, use_cases.registry_pushes
    recovery = Recovery(adapters.store, services.images.scans, use_cases.approval_settler, starter)
    key = RepeatedTask("registry key", adapters.registry_access.follow_rotation)
    local = RepeatedTask("local storage", use_cases.local_collections.run, LOCAL_STORAGE_EVERY)
    logs = RepeatedTask("log files", partial(shorten_logs, options.settings.data / "logs"), PURGE_EVERY)
    groups = [
        TaskGroup("pushes", [RepeatedTask("git pushes", services.sources.pushes.observe_missed)], is_exclusive=False),
        TaskGroup("moved tags", [RepeatedTask("moved tags", pushes.check_moved_tags)], is_exclusive=False),
        TaskGroup("registry key", [key], is_exclusive=False),
        TaskGroup("local storage", [local, logs], is_exclusive=False),
    ]
    if WorkKind.SCAN in options.queues:
        groups.append(TaskGroup("scans", [RepeatedTask("scans", recovery.start_scans)], is_exclusive=False))
        groups.append(TaskGroup("rescans", [RepeatedTask("rescans", use_cases.image_rescans.run)]))
    if WorkKind.DEPLOY in options.queues:
        repair = RepeatedTask("services", use_cases.service_repair.repair_all, SERVICES_EVERY)
        groups.append(TaskGroup("services", [repair]))
    if WorkKind.UPKEEP in options.queues:
        upkeep = [
            RepeatedTask("claims", recovery.release_claims, PURGE_EVERY),
            RepeatedTask("events", recovery.start_events),
            RepeatedTask("missed images", pushes.record_missed),
            RepeatedTask("expired approvals", use_cases.approval_settler.expire),
            RepeatedTask("executions", recovery.continue_executions, EXECUTIONS_EVERY),
            RepeatedTask("pushed images", use_cases.push_verdicts.judge_due),
            RepeatedTask("running images", use_cases.service_risk.review),
            RepeatedTask("runs", use_cases.watched_images.record_runs, PURGE_EVERY),
            RepeatedTask("expiring waivers", services.policies.waivers.announce_expiring),
            RepeatedTask("workflows", workflow_retention.run, PURGE_EVERY),
            RepeatedTask("old rows", use_cases.purge.run, PURGE_EVERY),
        ]
        groups.append(TaskGroup("upkeep", upkeep))
        groups.append(TaskGroup("fleet", [RepeatedTask("fleet", use_cases.verdict_renewal.renew)]))
        task = RepeatedTask("other repositories", use_cases.repository_verdicts.review, OTHER_REPOSITORIES_EVERY)
        groups.append(TaskGroup("other repositories", [task]))
        groups.append(TaskGroup("fixes", [RepeatedTask("fixes", use_cases.fixes.review, FIXES_EVERY)]))
        groups.append(TaskGroup("approved images", [RepeatedTask("approved images", use_cases.approved_images.review)]))
        rules = RepeatedTask("rules", use_cases.event_matcher.run)
        groups.append(TaskGroup("rules", [rules, RepeatedTask("targets", services.events.targets.trim, PURGE_EVERY)]))
        groups += _make_registry_groups(use_cases)
        collection = RepeatedTask("collection", use_cases.garbage_collection.run_due)
        plan = RepeatedTask("plan of the next collection", services.upkeep.collection_plans.make_due, PLAN_EVERY)
        groups.append(TaskGroup("collection", [collection, plan]))
        if updates := use_cases.feed_updates:
            stale_feeds = RepeatedTask("stale feeds", updates.announce_stale, STALE_FEEDS_EVERY)
            suspect_feeds = RepeatedTask("suspect feeds", updates.announce_suspect, STALE_FEEDS_EVERY)

            def update_feeds() -> None:
                check()  # in a mount point without its mount, all of them would be due
                updates.run()

            groups.append(TaskGroup("feeds", [RepeatedTask("feeds", update_feeds), stale_feeds, suspect_feeds]))
    return groups


def _make_registry_groups(use_cases: UseCases) -> list[TaskGroup]:
    """The tasks that ask registries about pushes and images."""
    confirmation = RepeatedTask("reported pushes", use_cases.push_confirmation.run)
    presence = RepeatedTask("images that are gone", use_cases.image_presence.run, PRESENCE_EVERY)
    retries = RepeatedTask("failed attachments", use_cases.attachment_retries.run, PRESENCE_EVERY)
    return [
        TaskGroup("reported pushes", [confirmation]),
        TaskGroup("images that are gone", [presence]),
        TaskGroup("failed attachments", [retries]),
    ]


def _make_outbox_handlers(
    adapters: Adapters, options: Options, targets: EventTargets, effects: Effects
) -> list[OutboxHandler]:
    """The senders of the outbox's entries."""
    store = adapters.store
    handlers: list[OutboxHandler] = [
        WebhookHandler(store.approvals, store.callbacks, adapters.webhooks, adapters.answer_senders, adapters.clock),
        VerdictChangeHandler(store.callbacks, adapters.webhooks, adapters.clock),
        EventDeliveryHandler(store, targets, ServerClock(adapters.clock)),
    ]
    if adapters.attestor is not None:
        days = options.settings.attestation_days
        clock = ServerClock(adapters.clock)
        handlers.append(
            AttestationHandler(
                store.verdicts, store.followed_images, adapters.attestor, days, store.outbox, clock, effects.fence
            )
        )
        handlers.append(ProvenanceHandler(store.provenance, adapters.attestor))
    return handlers
