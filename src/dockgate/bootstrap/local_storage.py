"""What builds and services leave on this host, as one place."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.targets.podman import PodmanTarget


@dataclass(frozen=True, slots=True)
class HostStorage:
    """A `delivery.ports.LocalStorage` of podman and of builds."""

    target: PodmanTarget
    builds: Workspaces

    def remove_unused(self, needed: Callable[[], Collection[str]], before: datetime) -> int:
        return self.builds.remove_unused(before.timestamp()) + self.target.remove_images(needed)
