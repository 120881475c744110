"""A server out of real parts: the one place where adapters are made and handed to each other."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from dockgate import __version__
from dockgate.attestations.keys import Keys
from dockgate.bootstrap.blobs import blobs
from dockgate.bootstrap.notifiers import notifiers
from dockgate.bootstrap.targets import Targets
from dockgate.config import Settings
from dockgate.delivery.approval_request import place_of
from dockgate.delivery.builders.podman import PodmanBuilder
from dockgate.delivery.builders.sandbox.network import proxies
from dockgate.delivery.builders.sandbox.sandbox import Limits
from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.definitions.approval_request import asked
from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import SERVER
from dockgate.delivery.sources.git import GitHost, http_backend
from dockgate.delivery.targets.podman import PodmanTarget
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.gate import rules
from dockgate.scanner import ecosystems
from dockgate.scanner.images.auth import Issuers
from dockgate.server import podman_service, registry_service
from dockgate.server.bind_config import LOOPBACK, endpoints, listening, public_registry
from dockgate.server.supervisor import Child
from dockgate.services import codepipeline, inspector
from dockgate.services.advisories import Current
from dockgate.services.attestations import KEYS, RegistryAttestor
from dockgate.services.build_images import RegistryBuildImages
from dockgate.services.dependencies import Dependencies
from dockgate.services.effects import Observer
from dockgate.services.image_reader import ImageAccess
from dockgate.services.policies import Policies
from dockgate.services.provenance_reader import Provenance
from dockgate.services.registry_tokens import KEYS as REGISTRY_KEYS
from dockgate.services.registry_tokens import RegistryAccess
from dockgate.services.server import Server
from dockgate.services.vex import Vex
from dockgate.services.webhook_secrets import WebhookSecrets
from dockgate.store import open_store
from dockgate.workflows.engine import Engine

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Services:
    """The programs beside the server: the registry, and podman's service. They run within the `with` block, and end
    with this process however it ends; what podman was told to run goes on.

    `secret` is what the registry shows with its notifications. `inside` is the URL of the server's listener for its own
    programs (`web.app.create_internal_app`): it gives them tokens and takes notifications. Entering raises
    UnavailableError when a program is missing, cannot work on this host, or does not answer.
    """

    podman: podman_service.Podman

    def __init__(self, settings: Settings, secret: str, inside: str) -> None:
        self.secret = secret
        self._inside = inside
        self.registry = f"{LOOPBACK}:{settings.registry_port}"
        self.tokens = RegistryTokens(settings.data / REGISTRY_KEYS)
        self._settings = settings
        self._stack = ExitStack()
        self._registries: list[tuple[registry_service.Endpoint, Child]] = []

    def __enter__(self) -> Self:
        settings = self._settings
        with ExitStack() as started:
            self.podman = podman_service.prepare(settings.data, self.registry)
            notify, trusted = f"{self._inside}/registry/events", self.tokens.certificate()
            self._registries = [
                (endpoint, registry_service.registry(settings.data, endpoint, trusted, notify, self.secret))
                for endpoint in endpoints(settings, f"{self._inside}/registry/token")
            ]
            children = [child for _, child in self._registries]
            for child in (*children, podman_service.service(self.podman, settings.data)):
                started.callback(child.stop)
                child.start()
            self._stack = started.pop_all()
        return self

    def restart_registry(self) -> None:
        """Makes the registry trust the present certificate. UnavailableError when it does not come back."""
        trusted = self.tokens.certificate()
        for endpoint, child in self._registries:
            registry_service.trust(self._settings.data, endpoint, trusted)
            child.restart()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def assemble(
    settings: Settings,
    services: Services,
    url: str,
    stack: ExitStack,
    observe: Observer,
    alter: Callable[[Dependencies], Dependencies],
) -> Server:
    """The server that is called by `url`, not yet launched. What has to be closed is put on the stack."""
    store = open_store(settings.data, settings.database_url or None, blobs(settings), settings.disk_limits)
    stack.callback(store.close)
    registry = DistributionRegistry(services.registry, partial(services.tokens.token, SERVER))
    issuers = {services.registry: services.tokens.repository_token}
    access = RegistryAccess(services.tokens, settings.registry_push, services.restart_registry)
    repositories = settings.data / "git"
    podman = services.podman
    own = f"{services.registry}/"

    def login(image: str) -> tuple[str, str] | None:
        """By which podman pulls an image of our registry."""
        return access.pull_login(place_of(image).removeprefix(own)) if image.startswith(own) else None

    held = rules.load()
    policies = Policies(store, held)
    reach = ImageAccess(
        services.registry,
        settings.registries,
        settings.cache,
        settings.ca_bundle,
        issuers,
        public=public_registry(settings),
    )
    parts = alter(
        Dependencies(
            store=store,
            source=GitHost(repositories),
            builder=_builder(settings, podman, registry, reach, issuers),
            registry=registry,
            read_image=reach.read,
            vex=Vex(reach.attached),
            provenance=Provenance(reach.attached),
            resolve_image=reach.resolve,
            webhooks=HttpWebhooks(
                settings.callback_hosts, loopback=not listening(settings).beyond, ca_bundle=settings.ca_bundle
            ),
            targets=Targets(
                {"podman": PodmanTarget(podman.url, podman.network, login=login)}, settings.ca_bundle, issuers=issuers
            ),
            notifiers=notifiers(settings),
            advisories=Current(settings.advisories),
            policies=policies,
            asks=partial(asked, rules=held),
            ecosystems=ecosystems.load(),
            rules=held,
            engine_version=__version__,
            secret=services.secret,
            scratch=_emptied(settings.data / "scratch"),
            clock=lambda: datetime.now(UTC),
            findings=inspector.of_settings(settings),
            answers={codepipeline.SCHEME: codepipeline.CodePipelineAnswers(url)},
            attestor=RegistryAttestor(
                Keys(settings.data / KEYS), services.registry, settings.ca_bundle, reach.require, issuers
            ),
            attestation_days=settings.attestation_days,
            risk_days=settings.risk_days,
            keep_days=settings.keep_days,
            notice_days=settings.waiver_notice_days,
            url=settings.public_url or url,
        )
    )
    hooks = WebhookSecrets(services.secret, settings.data / "run" / "hooks.json")
    engine = Engine(parts, settings.data, observe)
    stack.callback(engine.close)
    limit = settings.push_limit
    backend = partial(http_backend, repositories, max_push=limit)
    return Server(parts, engine, url, backend, hooks, access, limit)


def _builder(
    settings: Settings,
    podman: podman_service.Podman,
    registry: DistributionRegistry,
    reach: ImageAccess,
    issuers: Issuers,
) -> PodmanBuilder:
    place = podman_service.build_place(podman)
    limits = Limits(
        seconds=settings.build_minutes * 60,
        memory=int(settings.build_memory * 2**30),
        processes=settings.build_processes,
        disk=int(settings.build_disk * 2**30),
        log=int(settings.build_log * 2**20),
    )
    return PodmanBuilder(
        podman_service.runner(podman, limits, settings.build_allow, settings.build_block, settings.unsafe_builds),
        Workspaces(place / "repositories", limits.seconds),
        RegistryBuildImages(
            place / "bases",
            registry.address,
            reach.require,
            settings.ca_bundle,
            has_list=bool(settings.registries),
            issuers=issuers,
        ),
        registry,
        podman.folder,
        ca_bundle=_certificates(settings),
        ca_mount=podman_service.ca_mount(podman),
        environment=proxies(os.environ),
    )


def _certificates(settings: Settings) -> Path | None:
    """The authorities that a build may trust: those we were told to, else the system's."""
    bundle = settings.ca_bundle or SYSTEM_CERTIFICATES
    return bundle if bundle.exists() else None


def _emptied(folder: Path) -> Path:
    """What a server that was killed had in work there is nobody's any more."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder
