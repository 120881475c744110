"""The use cases that the web application calls: a record for each subject. `bootstrap` builds them.

A call of the API or a page takes the records of its subjects, and for lists the `Store`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dockgate.config import DEFAULT_PUSH_LIMIT, Settings
from dockgate.delivery.ports import Advisories, Attestor, Target
from dockgate.delivery.repository_files import RepositoryFiles
from dockgate.delivery.source_ports import RepositoryHost
from dockgate.events.ports import Webhooks
from dockgate.services.approvals.decisions import ApprovalDecisions
from dockgate.services.approvals.pubsub import ApprovalPubSub
from dockgate.services.approvals.requests import ApprovalRequests
from dockgate.services.attention import AttentionReader
from dockgate.services.clock import ServerClock
from dockgate.services.exposure.search import ExposureSearch
from dockgate.services.exposure.waiver_preview import WaiverPreviews
from dockgate.services.fleet.finding_trends import TrendReader
from dockgate.services.identity.first_admin import FirstAdmin
from dockgate.services.identity.people import People
from dockgate.services.identity.provider_sign_in import ProviderSignIn
from dockgate.services.identity.sent_forms import SentForms
from dockgate.services.identity.sessions import Sessions
from dockgate.services.images.scans import FindingReports, ScanScheduler
from dockgate.services.images.search import ImageSearch
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.notifications.deliveries import FailedDeliveries
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.events import EventReader
from dockgate.services.pipelines.deployments import Rollouts
from dockgate.services.pipelines.documents import Documents
from dockgate.services.pipelines.executions import Executions
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.services.pipelines.running_tasks import RunningTasks
from dockgate.services.policies.policies import Policies
from dockgate.services.registry.notifications import RegistryNotifications
from dockgate.services.registry.push_permits import PushPermits
from dockgate.services.registry.registry_pulls import RegistryPulls
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.services.retention.collection_plans import CollectionPlans
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.services.verdicts.policy_dry_run import PolicyDryRun
from dockgate.services.verdicts.verdict_links import VerdictLinks
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.services.workers import Workers
from dockgate.shared.addresses import make_console_url
from dockgate.store import Store

# (repository, path, method, query, headers, body) -> (status, headers, body): `sources.git.run_http_backend`.
GitBackend = Callable[
    [str, str, str, str, Mapping[str, str], IO[bytes] | None],
    Awaitable[tuple[int, Mapping[str, str], AsyncGenerator[bytes, None]]],
]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the server answers.

    `url` is that of the API, `registry` the address of our own registry. `registry_names` are that address and what
    other machines call the registry by.
    """

    url: str
    registry: str
    registry_names: Sequence[str]

    @property
    def console_url(self) -> str:
        """The URL of the console."""
        return make_console_url(self.url)

    def make_clone_url(self, repository: str) -> str:
        """Return the URL that `git clone` and `git push` take for the repository."""
        return f"{self.url}/git/{repository}.git"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalServices:
    """Approvals from the request to the answer, and what proves a verdict to others.

    `attestor` is None where approvals are not signed.
    """

    requests: ApprovalRequests
    decisions: ApprovalDecisions
    pubsub: ApprovalPubSub
    webhooks: Webhooks
    verdict_links: VerdictLinks
    attestor: Attestor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageServices:
    """Images: searched, scanned and watched, and what other scanners report of them."""

    search: ImageSearch
    watched_images: WatchedImages
    scans: ScanScheduler
    finding_reports: FindingReports


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetServices:
    """Where vulnerabilities are and were in all images, and what advisories know of them."""

    exposure_search: ExposureSearch
    trends: TrendReader
    advisories: Advisories


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyServices:
    """Policies, and the exemptions from them: waivers and VEX documents."""

    policies: Policies
    dry_run: PolicyDryRun
    waivers: ServerWaivers
    waiver_previews: WaiverPreviews


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceServices:
    """Git repositories: their commits and files, fetches and pushes.

    `scratch` is a folder for request bodies; a push may have `push_limit` bytes.
    """

    host: RepositoryHost
    files: RepositoryFiles
    pushes: GitPushes
    backend: GitBackend
    scratch: Path
    push_limit: int = DEFAULT_PUSH_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryServices:
    """From a commit to running tasks: documents, executions, rollouts and what runs."""

    documents: Documents
    executions: Executions
    rollouts: Rollouts
    targets: Mapping[str, Target]
    running_tasks: RunningTasks


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryServices:
    """Our own registry and others: access, pulls, and what they report."""

    access: RegistryAccess
    push_permits: PushPermits
    pulls: RegistryPulls
    notifications: RegistryNotifications


@dataclass(frozen=True, slots=True, kw_only=True)
class EventServices:
    """Events, the rules that they match, and the targets that they are sent to."""

    reader: EventReader
    rules: EventRules
    targets: EventTargets
    failed_deliveries: FailedDeliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessServices:
    """People and programs: principals, tokens, sessions and sign-in.

    `provider_sign_in` is None without an identity provider.
    """

    people: People
    sessions: Sessions
    sent_forms: SentForms
    first_admin: FirstAdmin
    provider_sign_in: ProviderSignIn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepServices:
    """Work that keeps the server going.

    `update_settings` says how advisories are updated, None if they are not.
    """

    workers: Workers
    garbage_collection: GarbageCollection
    collection_plans: CollectionPlans
    update_settings: Settings | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """What the web application is made from: the records of all subjects."""

    addresses: Addresses
    store: Store
    clock: ServerClock
    approvals: ApprovalServices
    images: ImageServices
    fleet: FleetServices
    policies: PolicyServices
    sources: SourceServices
    delivery: DeliveryServices
    registries: RegistryServices
    events: EventServices
    access: AccessServices
    upkeep: UpkeepServices
    attention: AttentionReader
