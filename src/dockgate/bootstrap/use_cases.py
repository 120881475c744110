"""Makes the use cases of a server from its adapters. Nothing runs yet."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from dockgate import __version__
from dockgate.bootstrap.dependencies import Adapters, Options
from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.delivery.retention import Retention
from dockgate.delivery.service_risk import RiskTerms
from dockgate.events.targets.pipeline import PipelineAdapter
from dockgate.gate import rules
from dockgate.gate.model import Policy
from dockgate.scanner import ecosystems
from dockgate.scanner.layer_reader import scanner_version
from dockgate.services.actions import Actions
from dockgate.services.advisories import compare
from dockgate.services.approval_decisions import ApprovalDecisions, WaitingApprovals
from dockgate.services.approval_pubsub import ApprovalPubSub
from dockgate.services.approval_requests import ApprovalRequests
from dockgate.services.cases import Baselines, Cases
from dockgate.services.clock import ServerClock
from dockgate.services.continuous import ContinuousVerdicts
from dockgate.services.contributors import ContributorFinder
from dockgate.services.deployments import Deployments, Rollouts, ServiceRepair
from dockgate.services.documents import Documents
from dockgate.services.effects import Effects, Starter
from dockgate.services.event_delivery import RuleExecutions
from dockgate.services.event_dispatch import EventDispatcher
from dockgate.services.event_rules import EventRules
from dockgate.services.event_targets import EventTargets
from dockgate.services.events import EventReader
from dockgate.services.executions import Executions
from dockgate.services.exposure import ExposureSearch
from dockgate.services.feed_updates import FeedUpdates
from dockgate.services.finding_trends import TrendReader
from dockgate.services.first_admin import FirstAdmin
from dockgate.services.fix_search import FixSearch, NewestImages
from dockgate.services.fixes import Fixes
from dockgate.services.fleet import FleetIndex
from dockgate.services.fleet_judging import FleetJudging
from dockgate.services.fleet_packages import FleetPackages
from dockgate.services.followed_images import ApprovedImages
from dockgate.services.garbage_collection import GarbageCollection
from dockgate.services.git_pushes import GitPushes
from dockgate.services.identity import People
from dockgate.services.image_facts import ImageFacts
from dockgate.services.image_presence import ImagePresence
from dockgate.services.image_rescans import ImageRescans
from dockgate.services.image_search import ImageSearch
from dockgate.services.local_storage import LocalCollections
from dockgate.services.lockfiles import LockBuilds
from dockgate.services.notification_summary import NotificationSummary
from dockgate.services.packages import Purls
from dockgate.services.policies import Policies
from dockgate.services.policy_dry_run import PolicyDryRun
from dockgate.services.policy_selection import PolicySelection
from dockgate.services.provenance import Provenance
from dockgate.services.provider_sign_in import ProviderSignIn
from dockgate.services.push_verdicts import PushVerdicts
from dockgate.services.refused_pulls import RefusedPulls
from dockgate.services.registry_pulls import RegistryPulls
from dockgate.services.registry_pushes import RegistryNotifications, RegistryPushes
from dockgate.services.repository_verdicts import RepositoryVerdicts
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.services.row_retention import RowRetention
from dockgate.services.scans import FindingReports, ScanRunner, ScanScheduler
from dockgate.services.service_risk import ServiceRisk
from dockgate.services.sessions import Sessions
from dockgate.services.verdict_links import VerdictLinks
from dockgate.services.verdicts import Verdicts
from dockgate.services.waiver_preview import WaiverPreviews
from dockgate.services.watched_images import WatchedImages
from dockgate.services.web_services import WebServices
from dockgate.services.workers import Workers
from dockgate.store.signals import Topic
from dockgate.workflows.queues import Queue
from dockgate.workflows.workflows import explain

# In rounds of the reconciler.
PENDING_SCANS_EVERY = 15


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases that the server's workflows and repeated tasks need beside those of its web application."""

    server: WebServices
    approved_images: ApprovedImages
    repository_verdicts: RepositoryVerdicts
    actions: Actions
    deployments: Deployments
    fleet_index: FleetIndex
    event_dispatcher: EventDispatcher
    feed_updates: FeedUpdates | None
    fixes: Fixes
    continuous: ContinuousVerdicts
    garbage_collection: GarbageCollection
    local_collections: LocalCollections
    push_verdicts: PushVerdicts
    registry_pushes: RegistryPushes
    image_presence: ImagePresence
    image_rescans: ImageRescans
    scan_runner: ScanRunner
    service_repair: ServiceRepair
    service_risk: ServiceRisk
    verdicts: Verdicts
    waiting_approvals: WaitingApprovals
    watched_images: WatchedImages


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
    settings = options.settings
    all_rules, all_ecosystems = rules.load(), ecosystems.load()
    policies = Policies(store, all_rules, clock, effects)
    read_policy = read_policy or policies
    provenance = Provenance(
        store,
        adapters.attached_documents,
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
        store, adapters.attached_documents, all_ecosystems, clock, effects, notice_days=settings.waiver_notice_days
    )
    selection = PolicySelection(
        store,
        read_policy,
        partial(read_requested_policy, rules=all_rules),
        policies.versions if read_policy is policies else None,
    )
    baselines = Baselines(store, all_ecosystems, registry)
    cases = Cases(store, adapters.advisories, baselines, exceptions, provenance, adapters.findings, clock, __version__)
    watched_images = WatchedImages(store, selection, clock, registry)
    verdicts = Verdicts(
        store, cases, selection, provenance, watched_images, adapters.advisories, all_ecosystems, all_rules
    )
    push_verdicts = PushVerdicts(store, verdicts, selection, watched_images, clock, effects)
    waiting_approvals = WaitingApprovals(store.approvals, verdicts.for_approval, clock, effects, starter)
    scanner = scanner_version(all_ecosystems)
    scan_runner = ScanRunner(store, adapters.read_image, adapters.findings, exceptions, clock, scanner)
    fleet_index = FleetIndex(store, adapters.advisories, all_ecosystems, clock, __version__)
    fleet_judging = FleetJudging(store, cases, exceptions, provenance, all_ecosystems, all_rules, clock)
    continuous = ContinuousVerdicts(
        store, fleet_index, fleet_judging, selection, watched_images, adapters.advisories, compare, clock, effects
    )
    scans = ScanScheduler(
        store.images,
        scan_runner,
        waiting_approvals,
        push_verdicts.judge,
        clock,
        effects,
        starter,
        explain,
        options.parallel_scans,
        options.pause_seconds * PENDING_SCANS_EVERY,
        store.locks,
        None if Queue.SCAN in options.queues else lambda: signals.send(Topic.SCANS, ()),
        fleet_index.add,
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
        watched_images,
        waiting_approvals,
        clock,
        effects,
        registry,
        options.secret,
        adapters.findings,
    )
    people = People(store, adapters.clock)
    sessions = Sessions(store, people, clock)
    executions = Executions(store, clock, effects, starter, pubsub)
    rollouts = Rollouts(store, adapters.targets, verdicts, clock, effects, starter, registry)
    event_targets = EventTargets(
        store,
        {
            adapter.type: adapter
            for adapter in (*adapters.target_adapters, PipelineAdapter(RuleExecutions(store, starter, clock).start))
        },
        adapters.builtin_targets,
        clock,
    )
    event_rules = EventRules(store, event_targets, adapters.builtin_targets, clock)
    git_pushes = GitPushes(store, source, clock, effects, starter)
    newest_images = NewestImages(store, adapters.resolve_image, scans.request, clock)
    fix_search = FixSearch(
        store,
        verdicts,
        adapters.advisories,
        adapters.files,
        all_ecosystems,
        all_rules,
        clock,
        registry,
        newest_images,
    )
    npm = next(ecosystem for ecosystem in all_ecosystems if ecosystem.name == "npm")
    locks = LockBuilds(adapters.builder, adapters.registry, source, options.scratch, npm)
    fixes = Fixes(store, fix_search, source, adapters.files, git_pushes, locks, clock, effects, starter)
    registry_pushes = RegistryPushes(store, adapters.registry, scans, exceptions, clock, effects)
    retention = Retention(settings.keep_days, settings.keep_images, settings.keep_revisions)
    old = RowRetention(store, clock, effects, retention)
    garbage_collection = GarbageCollection(
        store,
        ImageFacts(store, adapters.registry, adapters.targets, selection, clock, retention),
        adapters.registry,
        adapters.registry_storage,
        clock,
        effects,
        settings.gc_hours,
        # Those that name others come first.
        [old.revisions, old.executions, old.logs, old.artifacts, old.gone_images, old.verdicts, old.documents],
    )
    fleet_packages = FleetPackages(store, Purls(all_ecosystems))
    exposure_search = ExposureSearch(store, adapters.advisories, exceptions, fleet_packages, selection, clock, registry)
    server = WebServices(
        url=options.url,
        registry=registry,
        store=store,
        clock=clock,
        source=source,
        files=adapters.files,
        git_backend=adapters.git_backend,
        targets=adapters.targets,
        webhooks=adapters.webhooks,
        attestor=adapters.attestor,
        advisories=adapters.advisories,
        scratch=options.scratch,
        git_pushes=git_pushes,
        registry_notifications=RegistryNotifications(
            registry_pushes, adapters.webhook_secrets, adapters.resolve_image, options.url, registry
        ),
        registry_access=adapters.registry_access,
        registry_pulls=RegistryPulls(
            store.verdicts.approved_indexes_with,
            selection,
            verdicts,
            watched_images,
            RefusedPulls(store.event_log.record, clock),
            adapters.registry,
        ),
        executions=executions,
        events=EventReader(store.event_log),
        scans=scans,
        finding_reports=FindingReports(store, waiting_approvals, clock, effects),
        approval_requests=approval_requests,
        approval_decisions=ApprovalDecisions(
            store, verdicts, waiting_approvals, exceptions, executions, contributors, clock, effects
        ),
        approval_pubsub=pubsub,
        exceptions=exceptions,
        waiver_previews=WaiverPreviews(store, cases, exceptions, exposure_search, all_ecosystems, all_rules, clock),
        exposure_search=exposure_search,
        trends=TrendReader(store, clock),
        image_search=ImageSearch(store, fleet_packages, watched_images, clock, registry),
        policies=policies,
        policy_dry_run=PolicyDryRun(store, policies, selection, cases, all_ecosystems, all_rules, registry),
        documents=Documents(
            store,
            source,
            adapters.targets,
            policies,
            rollouts,
            event_rules,
            event_targets,
            clock,
            clone_url=lambda repository: f"{options.url}/git/{repository}.git",
        ),
        event_rules=event_rules,
        event_targets=event_targets,
        rollouts=rollouts,
        people=people,
        sessions=sessions,
        first_admin=FirstAdmin(store, people, clock),
        verdict_links=VerdictLinks(options.secret, options.public_url, clock),
        provider_sign_in=ProviderSignIn(adapters.identity_provider, options.group_roles, store, sessions, clock)
        if adapters.identity_provider
        else None,
        watched_images=watched_images,
        garbage_collection=garbage_collection,
        workers=Workers(store.workers, starter, store.database.is_shared),
        feeds=settings if options.updates_feeds else None,
        version=__version__,
        push_limit=settings.push_limit,
    )
    return UseCases(
        server=server,
        repository_verdicts=RepositoryVerdicts(
            store, verdicts, selection, exceptions, provenance, watched_images, clock, effects
        ),
        approved_images=ApprovedImages(
            store,
            verdicts,
            selection,
            exceptions,
            provenance,
            watched_images,
            clock,
            effects,
            settings.attestation_days if adapters.attestor else None,
        ),
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
        fleet_index=fleet_index,
        event_dispatcher=EventDispatcher(
            store,
            event_rules,
            event_targets,
            NotificationSummary(store, watched_images, adapters.advisories),
            clock,
            registry,
            options.public_url,
        ),
        feed_updates=FeedUpdates(settings, store.event_log.record, clock, continuous.renew)
        if options.updates_feeds
        else None,
        fixes=fixes,
        continuous=continuous,
        garbage_collection=garbage_collection,
        local_collections=LocalCollections(store, adapters.local_storage, clock, retention),
        push_verdicts=push_verdicts,
        registry_pushes=registry_pushes,
        image_presence=ImagePresence(store, adapters.resolve_image, registry_pushes.record_deletion, registry),
        image_rescans=ImageRescans(
            store,
            adapters.read_image,
            fleet_index.add,
            scanner,
            store.workers.own_id,
            settings.rescans_per_minute,
            clock,
            effects,
        ),
        scan_runner=scan_runner,
        service_repair=ServiceRepair(store, adapters.targets, clock, effects),
        service_risk=ServiceRisk(
            store,
            verdicts,
            selection,
            exceptions,
            provenance,
            clock,
            effects,
            registry,
            settings.risk_days,
            RiskTerms(timedelta(days=settings.risk_notice_days), timedelta(days=settings.recovery_days)),
        ),
        verdicts=verdicts,
        waiting_approvals=waiting_approvals,
        watched_images=watched_images,
    )
