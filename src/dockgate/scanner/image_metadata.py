"""The part of an inventory that comes from an image's manifest and config, not from its layers."""

from dataclasses import replace

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Image


def add_image_metadata(inventory: Inventory, image: Image) -> Inventory:
    """Return the inventory of these layers as that of `image`.

    Images with the same layers may differ in digest, platform, base image, creation time and user.
    """
    metadata = image.metadata
    return replace(
        inventory,
        image=image.digest,
        platform=image.platform,
        base_layers=min(metadata.base_layers, len(inventory.layers)),
        base=metadata.base,
        created=metadata.created,
        user=metadata.user,
    )
