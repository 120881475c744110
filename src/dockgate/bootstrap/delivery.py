"""Make the use cases from approvals to removal: the part of `use_cases` after `verdicts`."""

from datetime import timedelta
from functools import partial

from dockgate.bootstrap.verdicts import VerdictWiring
from dockgate.delivery.model import ApprovalId
from dockgate.delivery.retention import Retention
from dockgate.delivery.service_risk import RiskTerms
from dockgate.events.targets.pipeline import PipelineAdapter
from dockgate.services.approvals.contributors import ContributorFinder
from dockgate.services.approvals.decisions import ApprovalDecisions
from dockgate.services.approvals.pubsub import ApprovalPubSub
from dockgate.services.approvals.requests import ApprovalRequests
from dockgate.services.feeds.status import read_suspect_feeds
from dockgate.services.notifications.event_matching import EventMatcher
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.pipeline_starts import RuleExecutions
from dockgate.services.notifications.summary import NotificationSummary
from dockgate.services.pipelines.actions import Actions
from dockgate.services.pipelines.deployments import Deployments, Rollouts
from dockgate.services.pipelines.executions import Executions
from dockgate.services.pipelines.fix_search import FixSearch, NewestImages
from dockgate.services.pipelines.fixes import Fixes
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.services.pipelines.lockfiles import LockBuilds
from dockgate.services.pipelines.service_risk import ServiceRisk
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.services.retention.local_storage import LocalCollections
from dockgate.services.retention.purge import Purge
from dockgate.services.retention.registry_snapshot import RegistryReader
from dockgate.services.retention.row_retention import RowRetention
from dockgate.store.signals import Topic


class DeliveryWiring(VerdictWiring):
    """The use cases that approve, deliver, notify and remove, each group made from those before it."""

    def make_approvals(self) -> None:
        """Make what requests approvals, publishes them and takes people's decisions."""
        store, signals = self.store, self.store.signals
        self.pubsub = ApprovalPubSub(partial(signals.send, Topic.APPROVALS))
        store.approvals.watch(self.pubsub.publish)
        signals.receive(Topic.APPROVALS, lambda ids: self.pubsub.wake([ApprovalId(text) for text in ids]))
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
            self.advisory_revisions,
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
        self.event_matcher = EventMatcher(
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
            RegistryReader(store, adapters.registry, adapters.targets, self.selection, self.retention_clock, retention),
            adapters.registry,
            adapters.registry_storage,
            self.clock,
            self.retention_clock,
            self.effects,
            settings.gc_hours,
            RowRetention(store, self.retention_clock, self.effects, retention).collect,
        )
        self.local_collections = LocalCollections(store, adapters.local_storage, self.retention_clock, retention)
        self.purge = Purge(store, self.clock, self.retention_clock, self.effects, settings.keep_days)
