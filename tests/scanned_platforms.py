"""What a scan has read, of inventories alone."""

from collections.abc import Sequence

from dockgate.scanner.model import Inventory, ScannedPlatform


def list_platforms(*inventories: Inventory) -> Sequence[ScannedPlatform]:
    """The platforms with these inventories, whose layers' origins are not known."""
    return [ScannedPlatform(inventory) for inventory in inventories]
