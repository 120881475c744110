"""Makes the use cases of a server from its adapters, the workflows that run them, and the tasks that are repeated."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dockgate import __version__
from dockgate.config import DEFAULT_PUSH_LIMIT
from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.delivery.labels import Labels
from dockgate.delivery.ports import (
    Advisories,
    Answers,
    Attestor,
    Builder,
    Clock,
    FindingsSource,
    ImageReader,
    ImageResolver,
    ProvenanceReader,
    Registry,
    RepositoryHost,
    Target,
    VexReader,
)
from dockgate.events.ports import Notifier, Webhooks
from dockgate.gate import rules
from dockgate.gate.model import Policy
from dockgate.scanner import ecosystems
from dockgate.services.actions import Actions
from dockgate.services.approval_decisions import ApprovalDecisions, WaitingApprovals
from dockgate.services.approval_pubsub import ApprovalPubSub
from dockgate.services.approval_requests import ApprovalRequests
from dockgate.services.cases import Baselines, Cases
from dockgate.services.clock import ServerClock
from dockgate.services.contributors import ContributorFinder
from dockgate.services.deliveries import (
    AttestationHandler,
    NotificationHandler,
    Notifications,
    ProvenanceHandler,
    WebhookHandler,
)
from dockgate.services.deployments import Deployments, Rollouts, ServiceRepair
from dockgate.services.documents import Documents
from dockgate.services.effects import Effects, Observer, Starter, unobserved
from dockgate.services.executions import Executions
from dockgate.services.git_pushes import GitPushes
from dockgate.services.identity import People
from dockgate.services.outbox import OutboxHandler, OutboxWorker
from dockgate.services.policies import Policies, PolicySelection
from dockgate.services.policy_dry_run import PolicyDryRun
from dockgate.services.provenance import Provenance
from dockgate.services.registry_pulls import RegistryPulls
from dockgate.services.registry_pushes import RegistryNotifications, RegistryPushes, WebhookSecrets
from dockgate.services.registry_tokens import RegistryAccess
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.services.scans import PARALLEL_SCANS, FindingReports, ScanRunner, ScanScheduler
from dockgate.services.service_risk import ServiceRisk
from dockgate.services.verdicts import Verdicts
from dockgate.services.web_services import GitBackend, WebServices
from dockgate.services.workers import Workers
from dockgate.store import Store
from dockgate.store.records import OutboxKind, Worker
from dockgate.store.signals import Topic
from dockgate.workflows.background_tasks import BackgroundTasks, Purge, Recovery, WorkflowRetention
from dockgate.workflows.engine import APPLICATION_VERSION, Engine
from dockgate.workflows.leases import DEFAULT_TIMES, IDLE_TIMES, Guard, Lease, LeaseTimes, end_process
from dockgate.workflows.queues import Queue
from dockgate.workflows.reconciler import Reconciler, RepeatedTask, TaskGroup
from dockgate.workflows.starter import WorkflowStarter
from dockgate.workflows.workflows import Workflows, explain, labels_of

PAUSE_SECONDS = 2.0
# In rounds of the reconciler.
PENDING_SCANS_EVERY = 15
EXECUTIONS_EVERY = 5
SERVICES_EVERY = 5
PURGE_EVERY = 30


@dataclass(frozen=True, slots=True)
class Adapters:
    """What a server connects to.

    `findings` is another scanner: images that it knows are not read. Callbacks whose URL has a scheme in `answers` are
    answered by that, all others by `webhooks`. Without an `attestor` nothing is signed.
    """

    store: Store
    source: RepositoryHost
    git_backend: GitBackend
    builder: Builder
    registry: Registry
    registry_access: RegistryAccess
    read_image: ImageReader
    resolve_image: ImageResolver
    vex: VexReader
    provenance: ProvenanceReader
    webhooks: Webhooks
    webhook_secrets: WebhookSecrets
    targets: Mapping[str, Target]
    notifiers: Sequence[Notifier]
    advisories: Advisories
    clock: Clock
    answers: Mapping[str, Answers] = field(default_factory=dict)
    findings: FindingsSource | None = None
    attestor: Attestor | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """`url` is where the API answers on this host, `public_url` what others call it by.

    `secret` is known to the server alone. `scratch` is an empty folder for temporary files. `risk_days` is how long a
    running image may stay at risk, `keep_days` how long settled approvals and handled events are stored, `notice_days`
    how long before its end a waiver is announced. The reconciler pauses for `pause_seconds`. This process takes work
    from `queues` that asks for no more than its `labels`.
    """

    url: str
    public_url: str
    secret: str
    scratch: Path
    attestation_days: float = 30
    risk_days: float = 14
    keep_days: float = 90
    notice_days: float = 7
    push_limit: int = DEFAULT_PUSH_LIMIT
    pause_seconds: float = PAUSE_SECONDS
    parallel_scans: int = PARALLEL_SCANS
    queues: tuple[str, ...] = tuple(Queue)
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases that the server's workflows and repeated tasks need beside those of its web application."""

    server: WebServices
    actions: Actions
    deployments: Deployments
    notifications: Notifications
    registry_pushes: RegistryPushes
    scan_runner: ScanRunner
    service_repair: ServiceRepair
    service_risk: ServiceRisk
    verdicts: Verdicts
    waiting: WaitingApprovals


@dataclass(frozen=True, slots=True)
class App:
    """A server that is not launched yet."""

    server: WebServices
    use_cases: UseCases
    background: BackgroundTasks


def assemble(
    adapters: Adapters,
    options: Options,
    observe: Observer = unobserved,
    read_policy: Callable[[str], Policy] | None = None,
    on_drain: Callable[[], None] = lambda: None,
    on_lost: Callable[[], None] = end_process,
    check: Callable[[], None] = lambda: None,
    lease_times: LeaseTimes = DEFAULT_TIMES,
) -> App:
    """Make a server; without its web application it is a worker.

    `on_drain` is called when an operator drains this process, `on_lost` when others have taken over its work. While
    `check` raises UnavailableError, the worker does not beat: others take over its work. `observe` is called before and
    after each effect, and `read_policy` replaces the policies that images are evaluated by: for tests.
    """
    store, clock = adapters.store, ServerClock(adapters.clock)
    if store.database.is_sqlite:
        lease_times = IDLE_TIMES
    worker = make_worker(store, options, clock)
    lease = Lease(store.workers, worker, clock, on_drain, on_lost, check, lease_times)
    engine = Engine(store, worker, None if store.database.is_sqlite else lease, partial(labels_of, store))
    effects = Effects(observe, engine.run_step, engine.fence)
    starter = WorkflowStarter(store, clock, effects, engine)
    use_cases = make_use_cases(adapters, options, clock, effects, starter, read_policy)
    server = use_cases.server
    Workflows(
        engine,
        starter,
        store,
        server.executions,
        use_cases.actions,
        server.approval_requests,
        use_cases.waiting,
        server.scans,
        use_cases.deployments,
        server.rollouts,
        clock,
        effects,
    )
    groups = _task_groups(adapters, options, use_cases, clock, effects, starter, engine)
    if not store.database.is_sqlite:

        def recover(lost: Worker) -> None:
            store.database.end_sessions(lost.id)
            engine.recover(lost.id)
            store.outbox.release(lost.id)
            server.git_pushes.recover()

        guard = Guard(store.workers, store.locks, recover, engine.adopt, lease_times)
        if Queue.UPKEEP in options.queues:
            groups.append(TaskGroup("orphans", [RepeatedTask("orphans", engine.recover_orphans, EXECUTIONS_EVERY)]))
        groups.append(TaskGroup("workers", [RepeatedTask("workers", guard.run)], is_exclusive=False))
    reconciler = Reconciler(store.locks, options.pause_seconds, groups)
    handlers = _outbox_handlers(adapters, options)
    outbox = OutboxWorker(store.outbox, handlers, effects, adapters.clock, worker.id, options.pause_seconds)
    _receive_signals(adapters.store, options, use_cases, outbox, starter)
    background = BackgroundTasks(
        engine,
        lease,
        store.signals,
        options.queues,
        server.git_pushes,
        server.scans,
        outbox,
        server.approval_pubsub,
        reconciler,
    )
    return App(server, use_cases, background)


def make_worker(store: Store, options: Options, clock: ServerClock) -> Worker:
    """This process as a worker.

    SQLite has one server process, and the next one continues its workflows: their ids are the same. On Postgres, an id
    is never used again.
    """
    node = socket.gethostname()
    name = "server" if store.database.is_sqlite else store.database.process
    now = clock.now()
    return Worker(name, node, APPLICATION_VERSION, options.queues, options.labels, started_at=now, seen_at=now)


def make_use_cases(
    adapters: Adapters,
    options: Options,
    clock: ServerClock,
    effects: Effects,
    starter: Starter,
    read_policy: Callable[[str], Policy] | None = None,
) -> UseCases:
    """Make the use cases. Nothing runs yet."""
    store, source, registry = adapters.store, adapters.source, adapters.registry.address
    all_rules, all_ecosystems = rules.load(), ecosystems.load()
    policies = Policies(store, all_rules, clock, effects)
    read_policy = read_policy or policies
    notifications = Notifications(store.outbox, adapters.notifiers, clock)
    provenance = Provenance(
        store,
        adapters.provenance,
        adapters.attestor,
        read_policy,
        clock,
        options.public_url,
        registry,
        __version__,
    )
    signals = store.signals
    pubsub = ApprovalPubSub(partial(signals.send, Topic.APPROVALS))
    store.approvals.watch(pubsub.publish)
    signals.receive(Topic.APPROVALS, pubsub.wake)
    exceptions = RiskAcceptances(
        store, adapters.vex, all_ecosystems, notifications, clock, effects, notice_days=options.notice_days
    )
    selection = PolicySelection(store, read_policy, partial(read_requested_policy, rules=all_rules))
    baselines = Baselines(store, all_ecosystems, registry)
    cases = Cases(store, adapters.advisories, baselines, exceptions, provenance, adapters.findings, clock, __version__)
    verdicts = Verdicts(store, cases, selection, provenance, adapters.advisories, all_ecosystems, all_rules)
    waiting = WaitingApprovals(store.approvals, verdicts.for_approval, clock, effects, starter)
    scan_runner = ScanRunner(store, adapters.read_image, adapters.findings, exceptions, clock)
    scans = ScanScheduler(
        store.images,
        scan_runner,
        waiting,
        clock,
        effects,
        starter,
        explain,
        options.parallel_scans,
        options.pause_seconds * PENDING_SCANS_EVERY,
        store.locks,
        None if Queue.SCAN in options.queues else lambda: signals.send(Topic.SCANS, ()),
    )
    contributors = ContributorFinder(store, source)
    approval_requests = ApprovalRequests(
        store,
        selection,
        read_policy,
        contributors,
        provenance,
        adapters.resolve_image,
        scans,
        waiting,
        notifications,
        clock,
        effects,
        registry,
        options.secret,
    )
    executions = Executions(store, clock, effects, starter, pubsub)
    rollouts = Rollouts(store, adapters.targets, verdicts, clock, effects, starter, registry)
    registry_pushes = RegistryPushes(store, adapters.registry, scans, exceptions, notifications, clock, effects)
    server = WebServices(
        url=options.url,
        registry=registry,
        store=store,
        clock=clock,
        source=source,
        git_backend=adapters.git_backend,
        targets=adapters.targets,
        webhooks=adapters.webhooks,
        attestor=adapters.attestor,
        advisories=adapters.advisories,
        scratch=options.scratch,
        git_pushes=GitPushes(store, source, clock, effects, starter),
        registry_notifications=RegistryNotifications(
            registry_pushes, adapters.webhook_secrets, adapters.resolve_image, options.url, registry
        ),
        registry_access=adapters.registry_access,
        registry_pulls=RegistryPulls(store.images, selection, verdicts, adapters.registry),
        executions=executions,
        scans=scans,
        finding_reports=FindingReports(store, waiting, clock, effects),
        approval_requests=approval_requests,
        approval_decisions=ApprovalDecisions(
            store, verdicts, waiting, exceptions, executions, contributors, clock, effects
        ),
        approval_pubsub=pubsub,
        exceptions=exceptions,
        policies=policies,
        policy_dry_run=PolicyDryRun(store, policies, selection, cases, all_ecosystems, all_rules, registry),
        documents=Documents(
            store,
            source,
            adapters.targets,
            policies,
            rollouts,
            clock,
            clone_url=lambda repository: f"{options.url}/git/{repository}.git",
        ),
        rollouts=rollouts,
        people=People(store, adapters.clock),
        workers=Workers(store.workers, starter, store.database.is_sqlite),
        version=__version__,
        push_limit=options.push_limit,
    )
    return UseCases(
        server=server,
        actions=Actions(
            store,
            source,
            adapters.builder,
            provenance,
            clock,
            registry,
            options.secret,
            options.scratch,
            effects.fence,
        ),
        deployments=Deployments(store, adapters.targets, verdicts, registry),
        notifications=notifications,
        registry_pushes=registry_pushes,
        scan_runner=scan_runner,
        service_repair=ServiceRepair(store, adapters.targets, notifications, clock, effects),
        service_risk=ServiceRisk(
            store,
            verdicts,
            selection,
            exceptions,
            provenance,
            notifications,
            clock,
            effects,
            registry,
            options.risk_days,
        ),
        verdicts=verdicts,
        waiting=waiting,
    )


def _receive_signals(
    store: Store, options: Options, use_cases: UseCases, outbox: OutboxWorker, starter: Starter
) -> None:
    """Do at once what another process of the database has requested, and announce what this one leaves to others."""
    signals, scans = store.signals, use_cases.server.scans
    if Queue.SCAN in options.queues:
        recovery = Recovery(store, scans, use_cases.waiting, starter)
        signals.receive(Topic.SCANS, lambda _: recovery.start_scans())
    else:
        signals.receive(Topic.SCANS, lambda _: None)
    if Queue.DELIVER in options.queues:

        def wake(kinds: Sequence[str]) -> None:
            for kind in kinds:
                outbox.wake(OutboxKind(kind))

        signals.receive(Topic.OUTBOX, wake)
    else:
        signals.receive(Topic.OUTBOX, lambda _: None)
        store.outbox.watch(lambda kind: signals.send(Topic.OUTBOX, [kind.value]))


def _task_groups(
    adapters: Adapters,
    options: Options,
    use_cases: UseCases,
    clock: ServerClock,
    effects: Effects,
    starter: Starter,
    engine: Engine,
) -> list[TaskGroup]:
    """The reconciler's tasks. Those of one group wait for each other: what takes long has a group of its own."""
    server, pushes = use_cases.server, use_cases.registry_pushes
    recovery = Recovery(adapters.store, server.scans, use_cases.waiting, starter)
    groups = [TaskGroup("pushes", [RepeatedTask("git pushes", server.git_pushes.observe_missed)], is_exclusive=False)]
    if Queue.SCAN in options.queues:
        groups.append(TaskGroup("scans", [RepeatedTask("scans", recovery.start_scans)], is_exclusive=False))
    if Queue.DEPLOY in options.queues:
        repair = RepeatedTask("services", use_cases.service_repair.repair_all, SERVICES_EVERY)
        groups.append(TaskGroup("services", [repair]))
    if Queue.UPKEEP in options.queues:
        upkeep = [
            RepeatedTask("claims", partial(_release_lost_claims, adapters.store), PURGE_EVERY),
            RepeatedTask("events", recovery.start_events),
            RepeatedTask("missed images", pushes.record_missed),
            RepeatedTask("expired approvals", use_cases.waiting.expire),
            RepeatedTask("executions", recovery.continue_executions, EXECUTIONS_EVERY),
            RepeatedTask("running images", use_cases.service_risk.review),
            RepeatedTask("expiring waivers", server.exceptions.announce_expiring),
            RepeatedTask("moved tags", pushes.announce_moved_tags),
            RepeatedTask("workflows", WorkflowRetention(adapters.store, clock, effects, engine).run, PURGE_EVERY),
            RepeatedTask("old rows", Purge(adapters.store, clock, effects, options.keep_days).run, PURGE_EVERY),
        ]
        groups.append(TaskGroup("upkeep", upkeep))
    return groups


def _release_lost_claims(store: Store) -> None:
    store.outbox.release_lost([worker.id for worker in store.workers.list()])


def _outbox_handlers(adapters: Adapters, options: Options) -> list[OutboxHandler]:
    """The senders of the outbox's entries."""
    store = adapters.store
    handlers: list[OutboxHandler] = [
        WebhookHandler(store.approvals, adapters.webhooks, adapters.answers, adapters.clock),
        NotificationHandler(adapters.notifiers),
    ]
    if adapters.attestor is not None:
        handlers.append(AttestationHandler(store.images, adapters.attestor, options.attestation_days))
        handlers.append(ProvenanceHandler(store.provenance, adapters.attestor))
    return handlers
