"""An inventory as that of an image: all that its layers do not tell."""

from dataclasses import replace
from typing import Protocol

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Origins


class Pictured(Protocol):
    """As much of an image as that needs."""

    digest: str
    platform: str
    origins: Origins


def pictured(inventory: Inventory, image: Pictured) -> Inventory:
    """What these layers hold as what the image holds; images of the same layers may differ in all else."""
    origins = image.origins
    return replace(
        inventory,
        image=image.digest,
        platform=image.platform,
        base_layers=min(origins.base_layers, len(inventory.layers)),
        base=origins.base,
        created=origins.created,
        user=origins.user,
    )
