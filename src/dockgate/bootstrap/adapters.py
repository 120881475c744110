"""Make the adapters of a server from its settings: registry, builder, targets, queues."""

import os
import re
import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dockgate.attestations.keys import KEYS, Keys
from dockgate.aws.inspector_findings import InspectorFindings
from dockgate.bootstrap.dependencies import Adapters, Options
from dockgate.bootstrap.event_targets import make_builtin_targets, make_target_adapters
from dockgate.config import Settings
from dockgate.delivery.builders.podman import PodmanBuilder
from dockgate.delivery.builders.registry_images import RegistryBuildImages
from dockgate.delivery.builders.sandbox import cgroups
from dockgate.delivery.builders.sandbox.network import select_proxies
from dockgate.delivery.builders.sandbox.runner import Limits
from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.labels import Labels
from dockgate.delivery.registries.attestor import RegistryAttestor
from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.images import ImageAccess
from dockgate.delivery.registry_access import SERVER
from dockgate.delivery.sources.git import GitHost, run_http_backend
from dockgate.delivery.sources.git_files import GitFiles
from dockgate.delivery.targets.podman import PodmanTarget
from dockgate.events.queues.sqs import SqsQueue
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.identity.ports import IdentityProvider
from dockgate.scanner.cache.image_reader import read_images
from dockgate.scanner.images.auth import Issuers
from dockgate.server import podman_service
from dockgate.server.bind_config import find_registry_name, read_listen_address
from dockgate.server.deploy_targets import DeployTargets, HostStorage, compute_task_memory
from dockgate.server.local_programs import LocalPrograms
from dockgate.server.polling import Poller
from dockgate.services.approvals import codepipeline
from dockgate.services.clock import DatabaseClock, ServerClock
from dockgate.services.feeds.advisories import CurrentDatabase
from dockgate.services.identity.provider_sign_in import RETURN_PATH, read_mapping
from dockgate.services.registry.push_permits import PushPermits
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.services.verdicts.verdict_links import VerdictLinks
from dockgate.services.web_services import WebServices
from dockgate.shared.addresses import make_console_url
from dockgate.shared.aws import QUEUE, Client, RegionalClients, load_boto3, parse_arn
from dockgate.shared.aws_locations import parse_prefix
from dockgate.shared.errors import UsageError
from dockgate.shared.folder_mark import require_mark
from dockgate.shared.references import parse_repository, strip_registry
from dockgate.store import Store
from dockgate.store.blobs import Blobs
from dockgate.store.s3 import S3Blobs

# In the data folder; its content may be deleted while no server runs.
BLOB_CACHE = "blobs-cache"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def make_adapters(settings: Settings, programs: LocalPrograms, url: str, store: Store) -> Adapters:
    """Return the adapters of the server at `url`. Its registry and Podman are those of `programs`."""
    registry_address, podman = programs.registry, programs.podman
    clock = DatabaseClock(_read_clock, store.database.read_time) if store.database.is_shared else _read_clock
    permits = PushPermits(store.push_barrier, ServerClock(clock))
    issuers = {registry_address: permits.make_issuer(programs.tokens.issue_repository_token)}
    registry = DistributionRegistry(registry_address, partial(programs.tokens.issue_token, SERVER))
    access = RegistryAccess(programs.tokens, settings.registry_push, programs.trust_current_key)
    images = ImageAccess(
        registry_address,
        settings.registries,
        partial(read_images, cache=settings.cache),
        settings.ca_bundle,
        issuers,
        public_registry=find_registry_name(settings),
    )
    repositories = settings.shared_data / "git"

    def find_login(image: str) -> tuple[str, str] | None:
        """The user and password with which podman pulls an image of our registry."""
        name = strip_registry(repository := parse_repository(image), registry_address)
        return access.make_login(name) if name != repository else None

    memory = compute_task_memory(settings.task_memory, os.geteuid(), cgroups.find_missing_controllers())
    target = PodmanTarget(podman.url, podman.network, login=find_login, memory=memory)
    keys = Keys(settings.shared_data / KEYS, partial(require_mark, settings.shared_data, store.id))
    return Adapters(
        store=store,
        source=GitHost(repositories),
        files=GitFiles(repositories),
        git_backend=partial(run_http_backend, repositories, max_push=settings.push_limit),
        builder=_make_builder(settings, podman, registry, images, issuers),
        registry=registry,
        registry_access=access,
        read_image=images.read,
        resolve_image=images.resolve,
        attached_documents=images.read_attached,
        webhooks=HttpWebhooks(
            settings.callback_hosts,
            is_loopback_allowed=not read_listen_address(settings).is_public,
            ca_bundle=settings.ca_bundle,
        ),
        webhook_secrets=WebhookSecrets(programs.secret, settings.shared_data / "run" / "hooks.json"),
        targets=DeployTargets({"podman": target}, settings.ca_bundle, issuers=issuers),
        advisories=CurrentDatabase(settings.advisories),
        answer_senders={
            codepipeline.SCHEME: codepipeline.CodePipelineAnswerSender(
                url,
                links=VerdictLinks(
                    programs.secret, url, clock, store.verdicts.count_link_revocations, store.verdicts.revoke_links
                ),
            )
        },
        findings_source=InspectorFindings(settings.inspector, load_boto3()) if settings.inspector else None,
        attestor=RegistryAttestor(
            keys, registry_address, settings.ca_bundle, images.require, issuers, try_lock=store.locks.try_hold
        ),
        target_adapters=make_target_adapters(settings, is_public=read_listen_address(settings).is_public),
        builtin_targets=make_builtin_targets(settings),
        clock=clock,
        registry_storage=programs.storage,
        local_storage=HostStorage(
            target,
            Workspaces(podman_service.get_build_folder(podman) / "repositories", settings.build_minutes * 60),
        ),
        identity_provider=_make_identity_provider(settings, url),
    )


def _make_identity_provider(settings: Settings, url: str) -> IdentityProvider | None:
    if settings.oidc is None:
        return None
    try:
        from dockgate.identity.openid.provider import make_provider
    except ImportError as error:
        raise UsageError(
            f"DOCKGATE_OIDC_ISSUER needs Authlib, which is not installed ({error.name})",
            "Install Dockgate with the extra oidc, or by scripts/install.",
        ) from error
    return_url = f"{make_console_url(settings.public_url or url)}{RETURN_PATH}"
    return make_provider(settings.oidc, return_url, _read_clock, settings.ca_bundle)


def _read_clock() -> datetime:
    return datetime.now(UTC)


def make_options(
    settings: Settings, programs: LocalPrograms, url: str, queues: tuple[str, ...], labels: Labels
) -> Options:
    """Return what use cases need beside the adapters."""
    return Options(
        settings=settings,
        url=url,
        secret=programs.secret,
        scratch=_create_empty_folder(settings.data / "scratch"),
        queues=queues,
        labels=labels,
        group_roles=read_mapping(settings.oidc.roles, settings.registry_names) if settings.oidc else (),
    )


def open_blobs(settings: Settings, client: Client | None = None) -> Blobs | None:
    """Return where artifacts are stored; None for the data folder.

    Raises UsageError for an invalid location in S3, and when boto3 is needed and missing.
    """
    if not settings.blobs:
        return None
    bucket, prefix = parse_prefix("DOCKGATE_BLOBS", settings.blobs)
    make = partial(client or load_boto3(), "s3", None)
    return S3Blobs(make, bucket, f"{prefix}/" if prefix else "", settings.data / BLOB_CACHE)


def make_pollers(settings: Settings, services: WebServices, client: Client | None = None) -> list[Poller]:
    """Return a poller for each queue that the settings name, not yet started.

    Raises UsageError for an invalid ARN, and when boto3 is needed and missing.
    """
    queue_pollers = []
    if settings.ecr_queue:
        queue = parse_arn("DOCKGATE_ECR_QUEUE", settings.ecr_queue, QUEUE)
        queue_pollers.append(Poller(_make_queue(queue, client), services.registries.notifications.receive_ecr_event))
    if settings.approval_queue:
        queue = parse_arn("DOCKGATE_APPROVAL_QUEUE", settings.approval_queue, QUEUE)
        requests = codepipeline.CodePipelineRequests(
            services.approvals.requests, services.clock, queue["account"], RegionalClients(client)
        )
        queue_pollers.append(Poller(_make_queue(queue, client), requests.receive))
    return queue_pollers


def _make_queue(queue: re.Match[str], client: Client | None) -> SqsQueue:
    return SqsQueue(partial(client or load_boto3(), "sqs", queue["region"]), queue["name"], queue["account"])


def _make_builder(
    settings: Settings,
    podman: podman_service.Podman,
    registry: DistributionRegistry,
    images: ImageAccess,
    issuers: Issuers,
) -> PodmanBuilder:
    build_folder = podman_service.get_build_folder(podman)
    limits = Limits(
        seconds=settings.build_minutes * 60,
        memory=int(settings.build_memory * 2**30),
        processes=settings.build_processes,
        disk=int(settings.build_disk * 2**30),
        log=int(settings.build_log * 2**20),
    )
    return PodmanBuilder(
        podman_service.make_runner(
            podman, limits, settings.build_allow, settings.build_block, settings.can_build_unsafely
        ),
        Workspaces(build_folder / "repositories", limits.seconds),
        RegistryBuildImages(
            build_folder / "bases",
            registry.address,
            images.require,
            settings.ca_bundle,
            has_list=bool(settings.registries),
            issuers=issuers,
        ),
        registry,
        podman.folder,
        ca_bundle=_find_certificates(settings),
        ca_mount=podman_service.find_ca_mount(podman),
        environment=select_proxies(os.environ),
        records=settings.shared_data / "builds",
    )


def _find_certificates(settings: Settings) -> Path | None:
    """The authorities that a build trusts: those of the settings, or else the system's."""
    bundle = settings.ca_bundle or SYSTEM_CERTIFICATES
    return bundle if bundle.exists() else None


def _create_empty_folder(folder: Path) -> Path:
    """An empty folder: a server that was killed may have left files in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder
