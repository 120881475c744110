"""The use cases and settings that the web application calls, as a record. `bootstrap` builds it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dockgate.config import DEFAULT_PUSH_LIMIT, Settings
from dockgate.delivery.ports import Advisories, Attestor, Target
from dockgate.delivery.repository_files import RepositoryFiles
from dockgate.delivery.source_ports import RepositoryHost
from dockgate.events.ports import Webhooks
from dockgate.services.approvals.decisions import ApprovalDecisions
from dockgate.services.approvals.pubsub import ApprovalPubSub
from dockgate.services.approvals.requests import ApprovalRequests
from dockgate.services.clock import ServerClock
from dockgate.services.exposure.search import ExposureSearch
from dockgate.services.exposure.waiver_preview import WaiverPreviews
from dockgate.services.feeds.status import FeedStatus, read_feed_statuses
from dockgate.services.fleet.finding_trends import TrendReader
from dockgate.services.identity.first_admin import FirstAdmin
from dockgate.services.identity.people import People
from dockgate.services.identity.provider_sign_in import ProviderSignIn
from dockgate.services.identity.sessions import Sessions
from dockgate.services.images.scans import FindingReports, ScanScheduler
from dockgate.services.images.search import ImageSearch
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.events import EventReader
from dockgate.services.pipelines.deployments import Rollouts
from dockgate.services.pipelines.documents import Documents
from dockgate.services.pipelines.executions import Executions
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.services.pipelines.running_tasks import RunningTasks
from dockgate.services.policies.policies import Policies
from dockgate.services.registry.pushes import RegistryNotifications
from dockgate.services.registry.registry_pulls import RegistryPulls
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.services.verdicts.policy_dry_run import PolicyDryRun
from dockgate.services.verdicts.verdict_links import VerdictLinks
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.services.workers import Workers
from dockgate.services.workflow_starter import UnservedQueue
from dockgate.shared.addresses import make_console_url
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store

# (repository, path, method, query, headers, body) -> (status, headers, body): `sources.git.run_http_backend`.
GitBackend = Callable[
    [str, str, str, str, Mapping[str, str], IO[bytes] | None],
    Awaitable[tuple[int, Mapping[str, str], AsyncGenerator[bytes, None]]],
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerApi:
    """What the web application calls: use cases, adapters and settings.

    `url` is where the API answers, `registry` the address of our own registry. `registry_names` are that address and
    what other machines call the registry by. `scratch` is a folder for request bodies; a push may have `push_limit`
    bytes.
    """

    # The server itself.
    url: str
    registry: str
    registry_names: Sequence[str]
    version: str
    clock: ServerClock
    scratch: Path
    push_limit: int = DEFAULT_PUSH_LIMIT
    store: Store
    workers: Workers

    # Adapters.
    source: RepositoryHost
    files: RepositoryFiles
    git_backend: GitBackend
    targets: Mapping[str, Target]
    running_tasks: RunningTasks
    webhooks: Webhooks
    attestor: Attestor | None
    advisories: Advisories

    # From push to running service.
    git_pushes: GitPushes
    executions: Executions
    documents: Documents
    rollouts: Rollouts

    # Images: what they contain, and where vulnerabilities are.
    scans: ScanScheduler
    finding_reports: FindingReports
    image_search: ImageSearch
    watched_images: WatchedImages
    exposure_search: ExposureSearch
    trends: TrendReader

    # The decision.
    approval_requests: ApprovalRequests
    approval_decisions: ApprovalDecisions
    approval_pubsub: ApprovalPubSub
    policies: Policies
    policy_dry_run: PolicyDryRun
    waivers: ServerWaivers
    waiver_previews: WaiverPreviews
    verdict_links: VerdictLinks

    # The registry, and what is removed from it.
    registry_notifications: RegistryNotifications
    registry_access: RegistryAccess
    registry_pulls: RegistryPulls
    garbage_collection: GarbageCollection

    # Events and where they go.
    events: EventReader
    event_rules: EventRules
    event_targets: EventTargets

    # People. `provider_sign_in` is None without an identity provider.
    people: People
    sessions: Sessions
    first_admin: FirstAdmin
    provider_sign_in: ProviderSignIn | None = None

    # The settings by which advisories are updated; None if they are not.
    update_settings: Settings | None = None

    @property
    def console_url(self) -> str:
        """The URL of the console."""
        return make_console_url(self.url)

    def make_clone_url(self, repository: str) -> str:
        """Return the URL that `git clone` and `git push` take for the repository."""
        return f"{self.url}/git/{repository}.git"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`database` describes the advisory database, or says why there is none.

    `unserved`: queues without a worker. `feeds` are the advisory feeds: their age, the last failure and the next
    attempt.
    """

    version: str
    registry: str
    git: str
    database: dict[str, Any]
    unserved: Sequence[UnservedQueue]
    feeds: Sequence[FeedStatus] = ()


def read_server_status(server: ServerApi) -> ServerStatus:
    """Return what the server is, and the state of its advisory database."""
    unserved_queues = server.workers.read_status().unserved
    database, feeds = describe_advisory_database(server), read_advisory_feeds(server)
    return ServerStatus(server.version, server.registry, f"{server.url}/git", database, unserved_queues, feeds)


def describe_advisory_database(server: ServerApi) -> dict[str, Any]:
    """Return what the advisory database covers, or why there is none."""
    try:
        reader = server.advisories()
        return {
            "digest": reader.digest,
            "coverage": [
                {"ecosystem": item.ecosystem, "complete": item.complete, "checked_at": item.checked_at}
                for item in reader.list_coverage()
            ],
        }
    except DatabaseError as error:
        return {"error": str(error), "advice": error.advice or ""}


def read_advisory_feeds(server: ServerApi) -> Sequence[FeedStatus]:
    """Return the state of the advisory feeds."""
    settings = server.update_settings
    return read_feed_statuses(settings.advisories, settings.feeds) if settings else ()
