"""Targets by what services say of them: the one of this host, and each cluster of ECS that a service names."""

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from dockgate.delivery.definitions.service import ECS
from dockgate.delivery.ports import Target
from dockgate.delivery.targets.ecs import EcsTarget
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.image_copy import copy_image
from dockgate.scanner.images.reference import parse_remote
from dockgate.shared.aws import Client, boto3_client


class Targets(Mapping[str, Target]):
    """`fixed`, and a target for "ecs:<region>/<cluster>/<registry>/<repository>", made when it is first asked for.
    KeyError for others, UsageError for ECS without boto3."""

    def __init__(
        self,
        fixed: Mapping[str, Target],
        ca_bundle: Path | None,
        client: Client | None = None,
        issuers: Issuers | None = None,
    ) -> None:
        self._targets = dict(fixed)
        self._ca_bundle = ca_bundle
        self._client = client
        self._issuers = issuers
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Target:
        with self._lock:
            if name not in self._targets and name.startswith(ECS):
                region, cluster, repository = name.removeprefix(ECS).split("/", 2)
                client = partial(self._client or boto3_client(), "ecs", region)
                self._targets[name] = EcsTarget(client, cluster, partial(self._publish, repository))
            return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._targets))

    def __len__(self) -> int:
        return len(self._targets)

    def _publish(self, repository: str, image: str) -> str:
        """ECS cannot reach a registry on loopback: the image is copied to one that it can, by the same digest."""
        published = f"{repository}@{image.partition('@')[2]}"
        if published != image:
            source, target = parse_remote(image), parse_remote(published)
            copy_image(source, target, ca_bundle=self._ca_bundle, issuers=self._issuers)
        return published
