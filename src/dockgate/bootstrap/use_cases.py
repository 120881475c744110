"""Make the use cases of a server from its adapters. Nothing runs yet."""

from collections.abc import Callable
from dataclasses import dataclass

from dockgate.bootstrap.delivery import DeliveryWiring
from dockgate.bootstrap.dependencies import Adapters, Options
from dockgate.gate.model import Policy
from dockgate.services.approvals.followed_images import FollowedImageReview
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.attention import AttentionReader
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.services.fleet.finding_trends import TrendReader
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.repository_verdicts import RepositoryVerdicts
from dockgate.services.fleet.verdict_renewal import VerdictRenewal
from dockgate.services.identity.first_admin import FirstAdmin
from dockgate.services.identity.provider_sign_in import ProviderSignIn
from dockgate.services.identity.sent_forms import SentForms
from dockgate.services.identity.sessions import Sessions
from dockgate.services.images.image_presence import ImagePresence
from dockgate.services.images.rescans import ImageRescans
from dockgate.services.images.scans import FindingReports, ScanRunner
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.notifications.deliveries import FailedDeliveries
from dockgate.services.notifications.event_matching import EventMatcher
from dockgate.services.notifications.events import EventReader
from dockgate.services.pipelines.actions import Actions
from dockgate.services.pipelines.deployments import Deployments, ServiceRepair
from dockgate.services.pipelines.documents import Documents
from dockgate.services.pipelines.fixes import Fixes
from dockgate.services.pipelines.running_tasks import RunningTasks
from dockgate.services.pipelines.service_risk import ServiceRisk
from dockgate.services.registry.notifications import RegistryNotifications
from dockgate.services.registry.push_confirmation import PushConfirmation
from dockgate.services.registry.push_permits import PushPermits
from dockgate.services.registry.pushes import RegistryPushes
from dockgate.services.registry.refused_pulls import RefusedPulls
from dockgate.services.registry.registry_pulls import RegistryPulls
from dockgate.services.retention.collection_plans import CollectionPlans
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.services.retention.local_storage import LocalCollections
from dockgate.services.retention.purge import Purge
from dockgate.services.verdicts.attachment_retries import AttachmentRetries
from dockgate.services.verdicts.push_verdicts import PushVerdicts
from dockgate.services.verdicts.verdict_links import VerdictLinks
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.services.web_services import (
    AccessServices,
    Addresses,
    ApprovalServices,
    DeliveryServices,
    EventServices,
    FleetServices,
    ImageServices,
    PolicyServices,
    RegistryServices,
    SourceServices,
    UpkeepServices,
    WebServices,
)
from dockgate.services.workers import Workers
from dockgate.services.workflow_starter import Starter


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases that workflows and repeated tasks need, beside those of the web application."""

    services: WebServices
    approved_images: FollowedImageReview
    repository_verdicts: RepositoryVerdicts
    actions: Actions
    deployments: Deployments
    fleet_index: FleetIndex
    event_matcher: EventMatcher
    feed_updates: FeedUpdates | None
    fixes: Fixes
    verdict_renewal: VerdictRenewal
    garbage_collection: GarbageCollection
    local_collections: LocalCollections
    push_verdicts: PushVerdicts
    attachment_retries: AttachmentRetries
    purge: Purge
    registry_pushes: RegistryPushes
    push_confirmation: PushConfirmation
    image_presence: ImagePresence
    image_rescans: ImageRescans
    scan_runner: ScanRunner
    service_repair: ServiceRepair
    service_risk: ServiceRisk
    verdicts: Verdicts
    approval_settler: ApprovalSettler
    watched_images: WatchedImages
    retention_clock: ServerClock


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
    return wiring.make_use_cases(wiring.make_web_services())


class _Wiring(DeliveryWiring):
    """The records of use cases that the web application, workflows and repeated tasks take."""

    def make_web_services(self) -> WebServices:
        """Return what the web application needs."""
        update_settings = self.options.settings if self.options.should_update_feeds else None
        return WebServices(
            addresses=Addresses(self.options.url, self.registry, self.registry_names),
            store=self.store,
            clock=self.clock,
            approvals=self._make_approval_services(),
            images=ImageServices(
                search=self.image_search,
                watched_images=self.watched_images,
                scans=self.scans,
                finding_reports=FindingReports(
                    self.store, self.approval_settler.settle_and_continue, self.clock, self.effects
                ),
            ),
            fleet=FleetServices(
                exposure_search=self.exposure_search,
                trends=TrendReader(self.store, self.clock),
                advisories=self.adapters.advisories,
            ),
            policies=PolicyServices(
                policies=self.policies,
                dry_run=self.make_policy_dry_run(),
                waivers=self.waivers,
                waiver_previews=self.make_waiver_previews(),
            ),
            sources=SourceServices(
                host=self.adapters.source,
                files=self.adapters.files,
                pushes=self.git_pushes,
                backend=self.adapters.git_backend,
                scratch=self.options.scratch,
                push_limit=self.options.settings.push_limit,
            ),
            delivery=DeliveryServices(
                documents=self._make_documents(),
                executions=self.executions,
                rollouts=self.rollouts,
                targets=self.adapters.targets,
                running_tasks=RunningTasks(self.adapters.targets),
            ),
            registries=self._make_registry_services(),
            events=EventServices(
                reader=EventReader(self.store.event_log),
                rules=self.event_rules,
                targets=self.event_targets,
                failed_deliveries=FailedDeliveries(self.store, self.event_targets, self.clock),
            ),
            access=self._make_access_services(),
            upkeep=UpkeepServices(
                workers=Workers(self.store.workers, self.starter, self.store.database.is_shared),
                garbage_collection=self.garbage_collection,
                collection_plans=CollectionPlans(self.store, self.garbage_collection, self.clock),
                update_settings=update_settings,
            ),
            attention=AttentionReader(
                self.store, self.clock, self.registry, self.adapters.advisories, self.event_targets, update_settings
            ),
        )

    def _make_approval_services(self) -> ApprovalServices:
        options, verdicts = self.options, self.store.verdicts
        return ApprovalServices(
            requests=self.approval_requests,
            decisions=self.approval_decisions,
            pubsub=self.pubsub,
            webhooks=self.adapters.webhooks,
            verdict_links=VerdictLinks(
                options.secret, options.console_url, self.clock, verdicts.count_link_revocations, verdicts.revoke_links
            ),
            attestor=self.adapters.attestor,
        )

    def _make_access_services(self) -> AccessServices:
        adapters, store = self.adapters, self.store
        people = self.people
        sessions = Sessions(store, people, self.clock)
        return AccessServices(
            people=people,
            sessions=sessions,
            sent_forms=SentForms(store, self.clock),
            first_admin=FirstAdmin(store, people, self.clock),
            provider_sign_in=ProviderSignIn(
                adapters.identity_provider, self.options.group_roles, store, sessions, self.clock
            )
            if adapters.identity_provider
            else None,
        )

    def _make_registry_services(self) -> RegistryServices:
        adapters = self.adapters
        return RegistryServices(
            access=adapters.registry_access,
            push_permits=PushPermits(self.store.push_barrier, self.clock),
            pulls=self._make_registry_pulls(),
            notifications=RegistryNotifications(
                self.push_confirmation,
                adapters.webhook_secrets,
                self.options.url,
                self.registry,
            ),
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

    def make_use_cases(self, services: WebServices) -> UseCases:
        """Return what the workflows and repeated tasks need."""
        adapters, options, store, clock = self.adapters, self.options, self.store, self.clock
        return UseCases(
            services=services,
            repository_verdicts=RepositoryVerdicts(
                store,
                self.verdicts,
                self.selection,
                self.exemption_revisions,
                self.advisory_revisions,
                self.watched_images,
                clock,
                self.effects,
            ),
            approved_images=self.make_approved_images(),
            actions=self.actions,
            deployments=self.deployments,
            fleet_index=self.fleet_index,
            event_matcher=self.event_matcher,
            feed_updates=FeedUpdates(options.settings, store.event_log.record, clock, self.verdict_renewal.renew)
            if options.should_update_feeds
            else None,
            fixes=self.fixes,
            verdict_renewal=self.verdict_renewal,
            garbage_collection=self.garbage_collection,
            local_collections=self.local_collections,
            push_verdicts=self.push_verdicts,
            attachment_retries=AttachmentRetries(store, self.provenance, self.waivers, clock, self.effects),
            purge=self.purge,
            registry_pushes=self.registry_pushes,
            push_confirmation=self.push_confirmation,
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
            retention_clock=self.retention_clock,
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
