"""The targets that services are deployed to, and what they and builds leave on this host."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.ports import LocalStorage, Target
from dockgate.delivery.targets.ecs import EcsTarget
from dockgate.delivery.targets.ecs_location import EcsLocation
from dockgate.delivery.targets.podman import PodmanTarget
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.image_copy import copy_image
from dockgate.scanner.registry_reference import parse_remote
from dockgate.shared.aws import Client, load_boto3
from dockgate.shared.interfaces import override
from dockgate.shared.references import ImageReference


class DeployTargets(Mapping[str, Target]):
    """The targets of deploys: `local_targets`, and one for each ECS service that is named.

    Its name is an `EcsLocation`; it is made when it is first read. KeyError for other names, UsageError for ECS
    without boto3.
    """

    def __init__(
        self,
        local_targets: Mapping[str, Target],
        ca_bundle: Path | None,
        client: Client | None = None,
        issuers: Issuers | None = None,
    ) -> None:
        self._targets = dict(local_targets)
        self._ca_bundle = ca_bundle
        self._client = client
        self._issuers = issuers
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Target:
        with self._lock:
            if name not in self._targets and (location := EcsLocation.parse(name)):
                client = partial(self._client or load_boto3(), "ecs", location.region)
                self._targets[name] = EcsTarget(client, location.cluster, partial(self._publish, location.repository))
            return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._targets))

    def __len__(self) -> int:
        return len(self._targets)

    def _publish(self, repository: str, image: ImageReference) -> str:
        """Copy the image, by the same digest, to a registry that ECS can reach: it cannot reach ours on loopback."""
        published_image = replace(image, repository=repository)
        if published_image != image:
            source, target = parse_remote(str(image)), parse_remote(str(published_image))
            copy_image(source, target, ca_bundle=self._ca_bundle, issuers=self._issuers)
        return str(published_image)


def compute_task_memory(gibibytes: float, user: int, missing_controllers: Collection[str]) -> int | None:
    """Return the limit of tasks in podman whose definition has none, in MiB.

    None for no limit: `gibibytes` is 0, the server's user is not root, or a control group is missing.
    """
    if user != 0 or "memory" in missing_controllers:
        return None
    return int(gibibytes * 1024) or None


@dataclass(frozen=True, slots=True)
class HostStorage(LocalStorage):
    """A `delivery.ports.LocalStorage` of podman and of builds."""

    target: PodmanTarget
    builds: Workspaces

    @override
    def remove_unused(self, needed_images: Callable[[], Collection[str]], before: datetime) -> int:
        return self.builds.remove_unused(before.timestamp()) + self.target.remove_images(needed_images)
