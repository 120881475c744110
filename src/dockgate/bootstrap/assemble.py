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

from dockgate import __version__, ecosystems, rules
from dockgate.attestations.keys import Keys
from dockgate.bootstrap import codepipeline, inspector, podmand, registryd
from dockgate.bootstrap.advisories import Current
from dockgate.bootstrap.attesting import KEYS, RegistryAttestor
from dockgate.bootstrap.blobs import blobs
from dockgate.bootstrap.build_images import RegistryBuildImages
from dockgate.bootstrap.children import Child
from dockgate.bootstrap.ecs import Targets
from dockgate.bootstrap.hooks import Hooks
from dockgate.bootstrap.listening import LOOPBACK, endpoints, listening, public_registry
from dockgate.bootstrap.notifying import notifiers
from dockgate.bootstrap.policies import Policies
from dockgate.bootstrap.provenance import Provenance
from dockgate.bootstrap.reach import Reach
from dockgate.bootstrap.registry_access import KEYS as REGISTRY_KEYS
from dockgate.bootstrap.registry_access import RegistryAccess
from dockgate.bootstrap.server import Server
from dockgate.bootstrap.vex import Vex
from dockgate.builders.network import proxies
from dockgate.builders.places import Places
from dockgate.builders.podman import PodmanBuilder
from dockgate.builders.sandbox import Limits
from dockgate.config import Settings
from dockgate.core.asking import place_of
from dockgate.core.registry_access import SERVER
from dockgate.definitions.asking import asked
from dockgate.images.auth import Issuers
from dockgate.pipeline.effects import Observer
from dockgate.pipeline.engine import Engine
from dockgate.pipeline.parts import Parts
from dockgate.registries.distribution import DistributionRegistry
from dockgate.registries.tokens import RegistryTokens
from dockgate.sources.git import GitHost, http_backend
from dockgate.store import open_store
from dockgate.targets.podman import PodmanTarget
from dockgate.webhooks.http import HttpWebhooks

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Services:
    """The programs beside the server: the registry, and podman's service. They run within the `with` block, and end
    with this process however it ends; what podman was told to run goes on.

    `secret` is what the registry shows with its notifications. `inside` is the URL of the server's listener for its own
    programs (`web.app.create_inside`): it gives them tokens and takes notifications. Entering raises UnavailableError
    when a program is missing, cannot work on this host, or does not answer.
    """

    podman: podmand.Podman

    def __init__(self, settings: Settings, secret: str, inside: str) -> None:
        self.secret = secret
        self._inside = inside
        self.registry = f"{LOOPBACK}:{settings.registry_port}"
        self.tokens = RegistryTokens(settings.data / REGISTRY_KEYS)
        self._settings = settings
        self._stack = ExitStack()
        self._registries: list[tuple[registryd.Endpoint, Child]] = []

    def __enter__(self) -> Self:
        settings = self._settings
        with ExitStack() as started:
            self.podman = podmand.prepare(settings.data, self.registry)
            notify, trusted = f"{self._inside}/registry/events", self.tokens.certificate()
            self._registries = [
                (endpoint, registryd.registry(settings.data, endpoint, trusted, notify, self.secret))
                for endpoint in endpoints(settings, f"{self._inside}/registry/token")
            ]
            children = [child for _, child in self._registries]
            for child in (*children, podmand.service(self.podman, settings.data)):
                started.callback(child.stop)
                child.start()
            self._stack = started.pop_all()
        return self

    def restart_registry(self) -> None:
        """Makes the registry trust the present certificate. UnavailableError when it does not come back."""
        trusted = self.tokens.certificate()
        for endpoint, child in self._registries:
            registryd.trust(self._settings.data, endpoint, trusted)
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
    alter: Callable[[Parts], Parts],
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
    reach = Reach(
        services.registry,
        settings.registries,
        settings.cache,
        settings.ca_bundle,
        issuers,
        public=public_registry(settings),
    )
    parts = alter(
        Parts(
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
                Keys(settings.data / KEYS), services.registry, settings.ca_bundle, reach.demand, issuers
            ),
            attestation_days=settings.attestation_days,
            risk_days=settings.risk_days,
            keep_days=settings.keep_days,
            notice_days=settings.waiver_notice_days,
            url=settings.public_url or url,
        )
    )
    hooks = Hooks(services.secret, settings.data / "run" / "hooks.json")
    engine = Engine(parts, settings.data, observe)
    stack.callback(engine.close)
    limit = settings.push_limit
    backend = partial(http_backend, repositories, max_push=limit)
    return Server(parts, engine, url, backend, hooks, access, limit)


def _builder(
    settings: Settings, podman: podmand.Podman, registry: DistributionRegistry, reach: Reach, issuers: Issuers
) -> PodmanBuilder:
    place = podmand.build_place(podman)
    limits = Limits(
        seconds=settings.build_minutes * 60,
        memory=int(settings.build_memory * 2**30),
        processes=settings.build_processes,
        disk=int(settings.build_disk * 2**30),
        log=int(settings.build_log * 2**20),
    )
    return PodmanBuilder(
        podmand.runner(podman, limits, settings.build_allow, settings.build_block, settings.unsafe_builds),
        Places(place / "repositories", limits.seconds),
        RegistryBuildImages(
            place / "bases",
            registry.address,
            reach.demand,
            settings.ca_bundle,
            has_list=bool(settings.registries),
            issuers=issuers,
        ),
        registry,
        podman.folder,
        ca_bundle=_certificates(settings),
        ca_mount=podmand.ca_mount(podman),
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
