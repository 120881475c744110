"""What images hold, remembered: the same layers are put together once by the same code."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dockgate.bootstrap.kept import Kept
from dockgate.core.model import Inventory
from dockgate.core.pictured import pictured
from dockgate.core.ports import Image

if TYPE_CHECKING:
    from dockgate.core.facts import LayerFacts

PACKAGE = Path(__file__).parent.parent
PARTS = ("core", "ecosystems")
"""where all the code lies that an inventory is made by"""


class InventoryCache:
    """Inventories in files of `folder`, by the digests of their layers and by the code.

    By its bytes, not by a number that somebody has to raise: what it learns to doubt is to be doubted in an image that
    was read before, too. What was made of a layer that could not be read is not remembered, nor what a config says.
    """

    def __init__(self, folder: Path, package: Path = PACKAGE) -> None:
        code = _code(package)
        self._kept = Kept(folder / "images" / code[:16], Inventory) if code else None

    def find(self, image: Image) -> Inventory | None:
        """What the image holds, if its layers were put together before; never for a folder, which has no digest."""
        layers = tuple(layer.digest for layer in image.layers)
        found = self._kept.find(_name(layers)) if self._kept and all(layers) else None
        return pictured(found, image) if found and found.layers == layers else None

    def keep(self, inventory: Inventory, facts: "Sequence[LayerFacts]") -> None:
        """Remembers the inventory that was made of these."""
        if self._kept and all(one.layer and not one.unread for one in facts):
            self._kept.keep(_name(inventory.layers), inventory)


def _name(layers: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(layers).encode()).hexdigest()


def _code(package: Path) -> str:
    """A digest of the code, "" where its source is not at hand."""
    digest = hashlib.sha256()
    try:
        for part in PARTS:
            names = [name for name in sorted(os.listdir(package / part)) if name.endswith(".py")]
            if not names:
                return ""
            for name in names:
                digest.update(f"{name}\0".encode() + (package / part / name).read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()
