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
from dockgate.bootstrap.ecs import Targets
from dockgate.bootstrap.hooks import Hooks
from dockgate.bootstrap.listening import listening
from dockgate.bootstrap.notifying import notifiers
from dockgate.bootstrap.policies import Policies
from dockgate.bootstrap.provenance import Provenance
from dockgate.bootstrap.reach import Reach
from dockgate.bootstrap.server import Server
from dockgate.bootstrap.vex import Vex
from dockgate.builders.network import proxies
from dockgate.builders.places import Places
from dockgate.builders.podman import PodmanBuilder
from dockgate.builders.sandbox import Limits
from dockgate.config import Settings
from dockgate.definitions.asking import asked
from dockgate.pipeline.effects import Observer
from dockgate.pipeline.engine import Engine
from dockgate.pipeline.parts import Parts
from dockgate.registries.distribution import DistributionRegistry
from dockgate.sources.git import GitHost, http_backend
from dockgate.store import open_store
from dockgate.targets.podman import PodmanTarget
from dockgate.webhooks.http import HttpWebhooks

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Services:
    """The programs beside the server: the registry, and podman's service. They run within the `with` block, and end
    with this process however it ends; what podman was told to run goes on.

    `secret` is what the registry shows with its notifications, `notify` the URL that it posts them to. Entering raises
    UnavailableError when a program is missing, cannot work on this host, or does not answer.
    """

    podman: podmand.Podman

    def __init__(self, settings: Settings, secret: str, notify: str) -> None:
        self.secret = secret
        self._notify = notify
        self.registry = f"127.0.0.1:{settings.registry_port}"
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        settings = self._settings
        with ExitStack() as started:
            self.podman = podmand.prepare(settings.data, self.registry)
            for child in (
                registryd.registry(settings.data, settings.registry_port, self._notify, self.secret),
                podmand.service(self.podman, settings.data),
            ):
                started.callback(child.stop)
                child.start()
            self._stack = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @staticmethod
    def purge(settings: Settings) -> None:
        """Removes every container, image, network and mount of this data folder, with no server running."""
        podmand.purge(settings.data)


def assemble(
    settings: Settings,
    services: Services,
    url: str,
    stack: ExitStack,
    observe: Observer,
    alter: Callable[[Parts], Parts],
) -> Server:
    """The server that is called by `url`, not yet launched. What has to be closed is put on the stack."""
    store = open_store(settings.data, settings.database_url or None, blobs(settings))
    stack.callback(store.close)
    registry = DistributionRegistry(services.registry)
    repositories = settings.data / "git"
    podman = services.podman
    held = rules.load()
    policies = Policies(store, held)
    reach = Reach(services.registry, settings.registries, settings.cache, settings.ca_bundle, policies.name_base_layers)
    parts = alter(
        Parts(
            store=store,
            source=GitHost(repositories),
            builder=_builder(settings, podman, registry, reach),
            registry=registry,
            read_image=reach.read,
            vex=Vex(reach.attached),
            provenance=Provenance(reach.attached),
            resolve_image=reach.resolve,
            webhooks=HttpWebhooks(
                settings.callback_hosts, loopback=not listening(settings).beyond, ca_bundle=settings.ca_bundle
            ),
            targets=Targets({"podman": PodmanTarget(podman.url, podman.network)}, settings.ca_bundle),
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
            attestor=RegistryAttestor(Keys(settings.data / KEYS), services.registry, settings.ca_bundle, reach.demand),
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
    return Server(parts, engine, url, partial(http_backend, repositories, max_push=limit), hooks, limit)


def _builder(settings: Settings, podman: podmand.Podman, registry: DistributionRegistry, reach: Reach) -> PodmanBuilder:
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
            place / "bases", registry.address, reach.demand, settings.ca_bundle, has_list=bool(settings.registries)
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
