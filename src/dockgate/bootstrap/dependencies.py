"""The adapters and options of a server."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockgate.config import Settings
from dockgate.delivery.labels import Labels
from dockgate.delivery.ports import (
    Advisories,
    AnswerSender,
    AttachedDocuments,
    Attestor,
    Builder,
    Clock,
    FindingsSource,
    ImageReader,
    ImageResolver,
    LocalStorage,
    RegistryContent,
    RegistryStorage,
    Target,
)
from dockgate.delivery.repository_files import RepositoryFiles
from dockgate.delivery.source_ports import RepositoryHost
from dockgate.events.model import Target as EventTarget
from dockgate.events.ports import TargetAdapter, Webhooks
from dockgate.identity.ports import IdentityProvider
from dockgate.identity.sign_in import GroupRole
from dockgate.services.images.scans import PARALLEL_SCANS
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.services.web_services import GitBackend
from dockgate.shared.addresses import make_console_url
from dockgate.store import Store
from dockgate.workflows.queues import WorkKind

PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Adapters:
    """The systems that a server connects to.

    `findings_source` is another scanner: images that it knows are not read. Callbacks whose URL has a scheme in
    `answer_senders` are answered by that, all others by `webhooks`. Without an `attestor` nothing is signed.
    `uptime` gives seconds that no adjustment of the clock changes. `target_adapters` send events to targets,
    `builtin_targets` are those of the settings. Without `registry_storage` blobs of images stay. With an
    `identity_provider` people sign in there.
    """

    store: Store
    source: RepositoryHost
    files: RepositoryFiles
    git_backend: GitBackend
    builder: Builder
    registry: RegistryContent
    registry_access: RegistryAccess
    read_image: ImageReader
    resolve_image: ImageResolver
    attached_documents: AttachedDocuments
    webhooks: Webhooks
    webhook_secrets: WebhookSecrets
    targets: Mapping[str, Target]
    advisories: Advisories
    clock: Clock
    uptime: Callable[[], float] = time.monotonic
    answer_senders: Mapping[str, AnswerSender] = field(default_factory=dict)
    findings_source: FindingsSource | None = None
    attestor: Attestor | None = None
    target_adapters: Sequence[TargetAdapter] = ()
    builtin_targets: Sequence[EventTarget] = ()
    registry_storage: RegistryStorage | None = None
    local_storage: LocalStorage | None = None
    identity_provider: IdentityProvider | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a process, and what it decides for itself.

    `url` is where the API answers on this host. `secret` is known to the server alone. `scratch` is an empty folder for
    temporary files. Without `should_update_feeds` the advisory database is left as it is. The reconciler pauses for
    `pause_seconds`. This process takes work from `queues` that asks for no more than its `labels`. `group_roles` are
    the roles of the identity provider's groups.
    """

    settings: Settings
    url: str
    secret: str
    scratch: Path
    should_update_feeds: bool = True
    pause_seconds: float = PAUSE_SECONDS
    parallel_scans: int = PARALLEL_SCANS
    queues: tuple[str, ...] = tuple(WorkKind)
    labels: Labels = field(default_factory=dict)
    group_roles: tuple[GroupRole, ...] = ()

    @property
    def public_url(self) -> str:
        """The URL of the API for others."""
        return self.settings.public_url or self.url

    @property
    def console_url(self) -> str:
        """The URL of the console."""
        return make_console_url(self.public_url)
