"""Bills of materials: written of an image that was read, and read instead of one."""

from pathlib import Path
from typing import TYPE_CHECKING

from dockgate import ecosystems, sboms
from dockgate.core.model import Inventory
from dockgate.reports import InventoryReport

if TYPE_CHECKING:
    from dockgate.bootstrap.scan import Scanned


def bill(scanned: "Scanned") -> InventoryReport:
    return InventoryReport(scanned.reference, scanned.digest, scanned.inventories)


def read(path: Path) -> Inventory:
    """The inventory that a CycloneDX or SPDX document tells of. Raises UsageError naming what can be read."""
    return sboms.read(path, ecosystems.load())
