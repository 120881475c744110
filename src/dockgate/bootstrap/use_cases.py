"""Makes the use cases of a server from its adapters. Nothing runs yet."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from dockgate import __version__
from dockgate.bootstrap.dependencies import Adapters, Options
from dockgate.bootstrap.verdicts import VerdictWiring
from dockgate.delivery.retention import Retention
from dockgate.delivery.service_risk import RiskTerms
from dockgate.events.targets.pipeline import PipelineAdapter
from dockgate.gate.model import Policy
from dockgate.services.approvals.contributors import ContributorFinder
from dockgate.services.approvals.decisions import ApprovalDecisions
from dockgate.services.approvals.followed_images import FollowedImageReview
from dockgate.services.approvals.pubsub import ApprovalPubSub
from dockgate.services.approvals.requests import ApprovalRequests
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.feeds.status import read_suspect_feeds
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.services.fleet.finding_trends import TrendReader
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.repository_verdicts import RepositoryVerdicts
from dockgate.services.fleet.verdict_renewal import VerdictRenewal
from dockgate.services.identity.first_admin import FirstAdmin
from dockgate.services.identity.people import People
from dockgate.services.identity.provider_sign_in import ProviderSignIn
from dockgate.services.identity.sessions import Sessions
from dockgate.services.images.image_presence import ImagePresence
from dockgate.services.images.rescans import ImageRescans
from dockgate.services.images.scans import FindingReports, ScanRunner
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.notifications.event_dispatch import EventDispatcher
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.events import EventReader
from dockgate.services.notifications.pipeline_starts import RuleExecutions
from dockgate.services.notifications.summary import NotificationSummary
from dockgate.services.pipelines.actions import Actions
from dockgate.services.pipelines.deployments import Deployments, Rollouts, ServiceRepair
from dockgate.services.pipelines.documents import Documents
from dockgate.services.pipelines.executions import Executions
from dockgate.services.pipelines.fix_search import FixSearch, NewestImages
from dockgate.services.pipelines.fixes import Fixes
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.services.pipelines.lockfiles import LockBuilds
from dockgate.services.pipelines.running_tasks import RunningTasks
from dockgate.services.registry.pushes import RegistryNotifications, RegistryPushes
from dockgate.services.registry.refused_pulls import RefusedPulls
from dockgate.services.registry.registry_pulls import RegistryPulls
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.services.retention.local_storage import LocalCollections
from dockgate.services.retention.registry_snapshot import RegistryReader
from dockgate.services.retention.row_retention import RowRetention
from dockgate.services.server_api import ServerApi
from dockgate.services.verdicts.push_verdicts import PushVerdicts
from dockgate.services.verdicts.service_risk import ServiceRisk
from dockgate.services.verdicts.verdict_links import VerdictLinks
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.services.workers import Workers
from dockgate.services.workflow_starter import Starter
from dockgate.store.signals import Topic


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases that workflows and repeated tasks need, beside those of the web application."""

    server: ServerApi
    approved_images: FollowedImageReview
    repository_verdicts: RepositoryVerdicts
    actions: Actions
    deployments: Deployments
    fleet_index: FleetIndex
    event_dispatcher: EventDispatcher
    feed_updates: FeedUpdates | None
    fixes: Fixes
    verdict_renewal: VerdictRenewal
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
    approval_settler: ApprovalSettler
    watched_images: WatchedImages


def make_use_cases(
    adapters: Adapters,
    options: Options,
    clock: ServerClock,
    effects: Effects,
    starter: Starter,
    read_policy: Callable[[str], Policy] | None = None,
) -> UseCases:
    """Make the use cases. Nothing runs yet. `read_policy` takes the place of the stored policies."""
    wiring = _Wiring(adapters, options, clock, effects, starter)
    wiring.make_verdicts(read_policy)
    wiring.make_image_index()
    wiring.make_scans()
    wiring.make_approvals()
    wiring.make_delivery()
    wiring.make_fixes()
    wiring.make_events()
    wiring.make_retention()
    return wiring.make_use_cases(wiring.make_server_api())


class _Wiring(VerdictWiring):
    """Makes the other use cases, group by group, each from the adapters and the groups before it."""

    def make_approvals(self) -> None:
        """Make what requests approvals, publishes them and takes people's decisions."""
        store, signals = self.store, self.store.signals
        self.pubsub = ApprovalPubSub(partial(signals.send, Topic.APPROVALS))
        store.approvals.watch(self.pubsub.publish)
        signals.receive(Topic.APPROVALS, self.pubsub.wake)
        self.executions = Executions(store, self.clock, self.effects, self.starter, self.pubsub.publish)
        contributors = ContributorFinder(store, self.adapters.source)
        self.approval_requests = ApprovalRequests(
            store,
            self.selection,
            self.read_policy,
            contributors,
            self.provenance,
            self.adapters.resolve_image,
            self.scans,
            self.watched_images,
            self.approval_settler,
            self.clock,
            self.effects,
            self.registry,
            self.options.secret,
            self.adapters.findings_source,
        )
        self.approval_decisions = ApprovalDecisions(
            store,
            self.verdicts,
            self.approval_settler,
            self.waivers,
            self.executions,
            contributors,
            self.clock,
            self.effects,
        )

    def make_delivery(self) -> None:
        """Make what takes commits, runs actions and changes services."""
        store, adapters = self.store, self.adapters
        self.git_pushes = GitPushes(store, adapters.source, self.clock, self.effects, self.starter)
        self.actions = Actions(
            store,
            adapters.source,
            adapters.builder,
            self.provenance,
            self.clock,
            self.registry,
            self.options.secret,
            self.options.scratch,
            self.effects.fence,
        )
        self.rollouts = Rollouts(
            store, adapters.targets, self.verdicts, self.clock, self.effects, self.starter, self.registry
        )
        self.deployments = Deployments(store, adapters.targets, self.verdicts, self.registry)
        settings = self.options.settings
        self.service_risk = ServiceRisk(
            store,
            self.verdicts,
            self.selection,
            self.exemption_revisions,
            self.verdict_inputs,
            self.clock,
            self.effects,
            self.registry,
            settings.risk_days,
            RiskTerms(timedelta(days=settings.risk_notice_days), timedelta(days=settings.recovery_days)),
        )

    def make_fixes(self) -> None:
        """Make what searches for fixes of rejected images and offers them."""
        store, adapters = self.store, self.adapters
        newest_images = NewestImages(store, adapters.resolve_image, self.scans.request, self.clock)
        search = FixSearch(
            store,
            self.verdicts,
            adapters.advisories,
            adapters.files,
            self.ecosystems,
            self.rules,
            self.clock,
            self.registry,
            newest_images,
        )
        npm = next(ecosystem for ecosystem in self.ecosystems if ecosystem.name == "npm")
        locks = LockBuilds(adapters.builder, adapters.registry, adapters.source, self.options.scratch, npm)
        self.fixes = Fixes(
            store,
            search,
            adapters.source,
            adapters.files,
            self.git_pushes,
            locks,
            self.clock,
            self.effects,
            self.starter,
        )

    def make_events(self) -> None:
        """Make what sends events to targets."""
        store, adapters = self.store, self.adapters
        start_pipeline = RuleExecutions(store, self.starter, self.clock).start
        target_adapters = (*adapters.target_adapters, PipelineAdapter(start_pipeline))
        self.event_targets = EventTargets(
            store, {adapter.type: adapter for adapter in target_adapters}, adapters.builtin_targets, self.clock
        )
        self.event_rules = EventRules(
            store, self.event_targets, adapters.builtin_targets, self.clock, self.registry_names
        )
        self.event_dispatcher = EventDispatcher(
            store,
            self.event_rules,
            self.event_targets,
            NotificationSummary(
                store,
                self.watched_images,
                adapters.advisories,
                partial(read_suspect_feeds, self.options.settings.advisories),
            ),
            self.clock,
            self.registry,
            self.options.console_url,
        )

    def make_retention(self) -> None:
        """Make what removes images and rows that nothing needs."""
        store, adapters, settings = self.store, self.adapters, self.options.settings
        retention = Retention(settings.keep_days, settings.keep_images, settings.keep_revisions)
        self.garbage_collection = GarbageCollection(
            store,
            RegistryReader(store, adapters.registry, adapters.targets, self.selection, self.clock, retention),
            adapters.registry,
            adapters.registry_storage,
            self.clock,
            self.effects,
            settings.gc_hours,
            RowRetention(store, self.clock, self.effects, retention).collect,
        )
        self.local_collections = LocalCollections(store, adapters.local_storage, self.clock, retention)

    def make_server_api(self) -> ServerApi:
        """Return what the web application needs."""
        adapters, options, store, clock = self.adapters, self.options, self.store, self.clock
        people = People(store, adapters.clock, self.registry_names)
        sessions = Sessions(store, people, clock)
        return ServerApi(
            url=options.url,
            registry=self.registry,
            registry_names=self.registry_names,
            store=store,
            clock=clock,
            source=adapters.source,
            files=adapters.files,
            git_backend=adapters.git_backend,
            targets=adapters.targets,
            running_tasks=RunningTasks(adapters.targets),
            webhooks=adapters.webhooks,
            attestor=adapters.attestor,
            advisories=adapters.advisories,
            scratch=options.scratch,
            git_pushes=self.git_pushes,
            registry_notifications=RegistryNotifications(
                self.registry_pushes, adapters.webhook_secrets, adapters.resolve_image, options.url, self.registry
            ),
            registry_access=adapters.registry_access,
            registry_pulls=self._make_registry_pulls(),
            executions=self.executions,
            events=EventReader(store.event_log),
            scans=self.scans,
            finding_reports=FindingReports(store, self.approval_settler.settle_and_continue, clock, self.effects),
            approval_requests=self.approval_requests,
            approval_decisions=self.approval_decisions,
            approval_pubsub=self.pubsub,
            waivers=self.waivers,
            waiver_previews=self.make_waiver_previews(),
            exposure_search=self.exposure_search,
            trends=TrendReader(store, clock),
            image_search=self.image_search,
            policies=self.policies,
            policy_dry_run=self.make_policy_dry_run(),
            documents=self._make_documents(),
            event_rules=self.event_rules,
            event_targets=self.event_targets,
            rollouts=self.rollouts,
            people=people,
            sessions=sessions,
            first_admin=FirstAdmin(store, people, clock),
            verdict_links=VerdictLinks(
                options.secret,
                options.console_url,
                clock,
                store.verdicts.count_link_revocations,
                store.verdicts.revoke_links,
            ),
            provider_sign_in=ProviderSignIn(adapters.identity_provider, options.group_roles, store, sessions, clock)
            if adapters.identity_provider
            else None,
            watched_images=self.watched_images,
            garbage_collection=self.garbage_collection,
            workers=Workers(store.workers, self.starter, store.database.is_shared),
            update_settings=options.settings if options.should_update_feeds else None,
            version=__version__,
            push_limit=options.settings.push_limit,
        )

    def _make_registry_pulls(self) -> RegistryPulls:
        return RegistryPulls(
            self.store.verdicts.list_approved_indexes_with,
            self.selection,
            self.verdicts,
            self.watched_images,
            RefusedPulls(self.store.event_log.record, self.clock),
            self.adapters.registry,
        )

    def _make_documents(self) -> Documents:
        url = self.options.url
        return Documents(
            self.store,
            self.adapters.source,
            self.adapters.targets,
            self.policies,
            self.rollouts,
            self.event_rules,
            self.event_targets,
            self.clock,
            clone_url=lambda repository: f"{url}/git/{repository}.git",
            registry_names=self.registry_names,
        )

    def make_use_cases(self, server: ServerApi) -> UseCases:
        """Return what the workflows and repeated tasks need."""
        adapters, options, store, clock = self.adapters, self.options, self.store, self.clock
        return UseCases(
            server=server,
            repository_verdicts=RepositoryVerdicts(
                store,
                self.verdicts,
                self.selection,
                self.exemption_revisions,
                self.watched_images,
                clock,
                self.effects,
            ),
            approved_images=self.make_approved_images(),
            actions=self.actions,
            deployments=self.deployments,
            fleet_index=self.fleet_index,
            event_dispatcher=self.event_dispatcher,
            feed_updates=FeedUpdates(options.settings, store.event_log.record, clock, self.verdict_renewal.renew)
            if options.should_update_feeds
            else None,
            fixes=self.fixes,
            verdict_renewal=self.verdict_renewal,
            garbage_collection=self.garbage_collection,
            local_collections=self.local_collections,
            push_verdicts=self.push_verdicts,
            registry_pushes=self.registry_pushes,
            image_presence=ImagePresence(
                store, adapters.resolve_image, self.registry_pushes.record_deletion, self.registry
            ),
            image_rescans=self._make_image_rescans(),
            scan_runner=self.scan_runner,
            service_repair=ServiceRepair(store, adapters.targets, clock, self.effects),
            service_risk=self.service_risk,
            verdicts=self.verdicts,
            approval_settler=self.approval_settler,
            watched_images=self.watched_images,
        )

    def _make_image_rescans(self) -> ImageRescans:
        return ImageRescans(
            self.store,
            self.adapters.read_image,
            self.fleet_index.add,
            self.scanner_version,
            self.store.workers.own_id,
            self.options.settings.rescans_per_minute,
            self.clock,
            self.effects,
        )
