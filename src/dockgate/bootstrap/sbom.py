"""Bills of materials, read in place of an image."""

from pathlib import Path

from dockgate import ecosystems, sboms
from dockgate.core.model import Inventory


def read(path: Path) -> Inventory:
    """The inventory that a CycloneDX or SPDX document tells of. Raises UsageError naming what can be read."""
    return sboms.read(path, ecosystems.load())
