"""Make the use cases that read and judge images: the first part of `use_cases`."""

from collections.abc import Callable
from functools import partial

from dockgate import __version__
from dockgate.bootstrap.dependencies import Adapters, Options
from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.gate import rules
from dockgate.gate.model import Policy
from dockgate.scanner import ecosystems
from dockgate.scanner.layer_reader import compute_scanner_version
from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.approvals.followed_images import FollowedImageReview
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.exposure.search import ExposureSearch
from dockgate.services.exposure.waiver_history import CachedWaiverHistory
from dockgate.services.exposure.waiver_preview import WaiverPreviews
from dockgate.services.feeds.advisories import compare
from dockgate.services.feeds.requests import advise_refresh
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge
from dockgate.services.fleet.verdict_renewal import VerdictRenewal
from dockgate.services.identity.people import People
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.scans import ScanRunner, ScanScheduler
from dockgate.services.images.search import ImageSearch
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.packages import Purls
from dockgate.services.policies.policies import Policies
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.registry.push_confirmation import PushConfirmation
from dockgate.services.registry.pushes import RegistryPushes
from dockgate.services.retention.retention_clock import RetentionClock
from dockgate.services.verdicts.case_builder import BaselineFinder, CaseBuilder
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.services.verdicts.policy_dry_run import PolicyDryRun
from dockgate.services.verdicts.provenance import Provenance
from dockgate.services.verdicts.push_verdicts import PushVerdicts
from dockgate.services.verdicts.verdict_inputs import VerdictInputs
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.services.workflow_starter import Starter
from dockgate.store.signals import Topic
from dockgate.workflows.queues import WorkKind
from dockgate.workflows.workflows import explain

# In rounds of the reconciler.
PENDING_SCANS_EVERY = 15


class VerdictWiring:
    """The use cases that read and judge images, each made from the adapters and those before it."""

    def __init__(
        self, adapters: Adapters, options: Options, clock: ServerClock, effects: Effects, starter: Starter
    ) -> None:
        self.adapters = adapters
        self.options = options
        self.clock = clock
        self.effects = effects
        self.starter = starter
        self.store = adapters.store
        self.retention_clock = RetentionClock(adapters.store, adapters.clock, adapters.uptime)
        self.registry = adapters.registry.address
        self.registry_names = tuple(dict.fromkeys((self.registry, *options.settings.registry_names)))
        self.rules = rules.load()
        self.ecosystems = ecosystems.load()
        self.people = People(adapters.store, adapters.clock, self.registry_names)
        self.answer_priority = AnswerPriority()
        self.scanner_version = compute_scanner_version(self.ecosystems)

    def make_verdicts(self, read_policy: Callable[[str], Policy] | None) -> None:
        """Make what judges an image by a policy."""
        store, adapters, clock = self.store, self.adapters, self.clock
        self.policies = Policies(store, self.rules, clock, self.effects)
        self.read_policy = read_policy or self.policies
        self.provenance = Provenance(
            store,
            adapters.attached_documents,
            adapters.attestor,
            self.read_policy,
            clock,
            self.options.public_url,
            self.registry,
            __version__,
        )
        self.waivers = ServerWaivers(
            store,
            adapters.attached_documents,
            self.ecosystems,
            clock,
            self.effects,
            notice_days=self.options.settings.waiver_notice_days,
        )
        self.selection = PolicySelection(
            store,
            self.read_policy,
            partial(read_requested_policy, rules=self.rules),
            self.policies.read_versions if self.read_policy is self.policies else None,
        )
        baseline_finder = BaselineFinder(store, self.ecosystems, self.registry)
        self.case_builder = CaseBuilder(
            store,
            adapters.advisories,
            baseline_finder,
            self.waivers,
            self.provenance,
            adapters.findings_source,
            clock,
            __version__,
        )
        self.watched_images = WatchedImages(store, self.selection, clock, self.retention_clock, self.registry)
        self.verdicts = Verdicts(
            store,
            self.case_builder,
            self.selection,
            self.provenance,
            self.watched_images,
            adapters.advisories,
            self.ecosystems,
            self.rules,
        )
        self.exemption_revisions = ExemptionRevisions(store)
        self.verdict_inputs = VerdictInputs(store, self.verdicts, self.selection, clock)
        self.push_verdicts = PushVerdicts(
            store, self.verdicts, self.selection, self.watched_images, clock, self.effects, self.answer_priority
        )

    def make_image_index(self) -> None:
        """Make what knows the packages of all images: searches, and the renewal of verdicts."""
        store, advisories = self.store, self.adapters.advisories
        self.fleet_index = FleetIndex(store, advisories, self.ecosystems, self.clock, __version__, self.answer_priority)
        image_judge = IndexedImageJudge(
            store, self.case_builder, self.waivers, self.provenance, self.ecosystems, self.rules, self.clock
        )
        self.advisory_revisions = AdvisoryRevisions(store, self.fleet_index, image_judge, advisories, self.clock)
        self.verdict_renewal = VerdictRenewal(
            store,
            self.fleet_index,
            image_judge,
            self.selection,
            self.watched_images,
            advisories,
            compare,
            self.clock,
            self.effects,
        )
        fleet_packages = FleetPackages(store, Purls(self.ecosystems))
        self.exposure_search = ExposureSearch(
            store,
            advisories,
            self.waivers,
            self.watched_images,
            fleet_packages,
            CachedWaiverHistory(store, self.selection.read_timeline),
            self.clock,
            self.registry,
            partial(advise_refresh, self.options.settings if self.options.should_update_feeds else None),
        )
        self.image_search = ImageSearch(
            store, fleet_packages, self.watched_images, self.clock, self.registry, self.registry_names
        )

    def make_scans(self) -> None:
        """Make what reads images, and what learns of pushes to registries."""
        store, adapters, signals = self.store, self.adapters, self.store.signals
        self.approval_settler = ApprovalSettler(
            store.approvals,
            self.verdicts.judge_approval,
            self.people.add_projects,
            self.clock,
            self.effects,
            self.starter,
        )
        self.scan_runner = ScanRunner(
            store,
            adapters.read_image,
            adapters.findings_source,
            self.waivers.record_attached_vex,
            self.clock,
            self.scanner_version,
        )
        self.scans = ScanScheduler(
            store.images,
            self.scan_runner,
            self.approval_settler.settle,
            self.push_verdicts.judge,
            self.clock,
            self.effects,
            self.starter,
            explain,
            self.options.parallel_scans,
            self.options.pause_seconds * PENDING_SCANS_EVERY,
            store.locks,
            None if WorkKind.SCAN in self.options.queues else lambda: signals.send(Topic.SCANS, ()),
            self.fleet_index.add,
            self.answer_priority,
        )
        self.registry_pushes = RegistryPushes(
            store, adapters.registry, self.scans, self.waivers, self.clock, self.effects
        )
        self.push_confirmation = PushConfirmation(self.registry_pushes, adapters.resolve_image, self.registry)

    def make_waiver_previews(self) -> WaiverPreviews:
        """Return what previews a waiver."""
        return WaiverPreviews(
            self.store, self.case_builder, self.waivers, self.exposure_search, self.ecosystems, self.rules, self.clock
        )

    def make_policy_dry_run(self) -> PolicyDryRun:
        """Return what tries a policy."""
        return PolicyDryRun(
            self.store, self.policies, self.selection, self.case_builder, self.ecosystems, self.rules, self.registry
        )

    def make_approved_images(self) -> FollowedImageReview:
        """Return what follows approved images."""
        return FollowedImageReview(
            self.store,
            self.verdicts,
            self.selection,
            self.exemption_revisions,
            self.verdict_inputs,
            self.advisory_revisions,
            self.watched_images,
            self.clock,
            self.retention_clock,
            self.effects,
            self.answer_priority,
            self.options.settings.attestation_days if self.adapters.attestor else None,
        )
