"""The programs that a server starts: its registry, and podman's service."""

import os
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from dockgate.attestations.keys import KEYS
from dockgate.config import Settings
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.server import podman_service, registry_service
from dockgate.server.registry_storage import DistributionStorage
from dockgate.server.supervisor import ChildProcess
from dockgate.shared.addresses import LOOPBACK


class LocalPrograms:
    """The registry and podman's service.

    They run within the `with` block, and end when this process ends, even by a crash. Containers keep running.

    The registry sends `secret` with its notifications. `internal_url` is the URL of the server's internal listener
    (`web.app.create_internal_app`), which issues tokens and receives notifications. Entering raises UnavailableError if
    a program is missing, cannot run on this host, or does not answer.
    """

    podman: podman_service.Podman
    # Where the registry stores its blobs.
    storage: DistributionStorage

    def __init__(self, settings: Settings, secret: str, internal_url: str) -> None:
        self.secret = secret
        self._internal_url = internal_url
        self.registry = settings.registry_address
        self.tokens = RegistryTokens(settings.shared_data / KEYS)
        self._settings = settings
        self._stack = ExitStack()
        # Where the registry sends its clients for tokens.
        self.realm = f"{internal_url}/registry/token"
        self._endpoint = registry_service.Endpoint("registry", LOOPBACK, settings.registry_port, self.realm)
        self._registry: ChildProcess | None = None
        self._certificate = b""
        self._trust_lock = threading.Lock()

    def __enter__(self) -> Self:
        settings = self._settings
        with ExitStack() as started_programs:
            self.podman = podman_service.prepare(settings.data, self.registry)
            notify, self._certificate = f"{self._internal_url}/registry/events", self.tokens.get_certificate()
            storage, location = settings.shared_data / "registry", settings.registry_storage
            s3 = registry_service.make_s3_storage(location, os.environ) if location else None
            self._registry = registry_service.make_registry(
                settings.data, self._endpoint, self._certificate, notify, self.secret, storage, s3
            )
            configuration = registry_service.get_configuration_path(settings.data, self._endpoint)
            self.storage = DistributionStorage(configuration, None if s3 else storage, s3.environment if s3 else {})
            for child in (self._registry, podman_service.make_service(self.podman, settings.data)):
                started_programs.callback(child.stop)
                child.start()
            self._stack = started_programs.pop_all()
        return self

    def trust_current_key(self) -> None:
        """Restart the registry if it does not trust the current certificate.

        UnavailableError if it does not start.
        """
        with self._trust_lock:
            certificate = self.tokens.get_certificate()
            if certificate == self._certificate:
                return
            registry_service.trust(self._settings.data, self._endpoint, certificate)
            if self._registry is not None:
                self._registry.restart()
            self._certificate = certificate

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
