"""What images hold, remembered: the same layers are put together once by the same code."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dockgate.scanner.cache.file_cache import FileCache
from dockgate.scanner.image_metadata import add_image_metadata
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Image

if TYPE_CHECKING:
    from dockgate.scanner.layer_index import LayerFacts

PACKAGE = Path(__file__).parent.parent.parent
# Folders of the code that makes inventories.
PARTS = ("shared", "scanner")
# Folders below them that have no part in it.
OTHER_PARTS = frozenset(("cache", "images", "sboms", "__pycache__"))


class InventoryCache:
    """Inventories in files of `folder`, by their layers, by what manifest and config say of those, and by the code.

    By its bytes, not by a number that somebody has to raise: what it learns to doubt is to be doubted in an image that
    was read before, too. What was made of a layer that could not be read is not remembered, nor the rest of a config.
    """

    def __init__(self, folder: Path, package: Path = PACKAGE) -> None:
        code = _code(package)
        self._kept = FileCache(folder / "images" / code[:16], Inventory) if code else None

    def find(self, image: Image, *, verified: bool = False) -> Inventory | None:
        """What the image holds, if its layers were put together before; never for a folder, which has no digest.

        `verified`: the layers' uncompressed content has to have been hashed for it.
        """
        layers = tuple(layer.digest for layer in image.layers)
        if self._kept is None or not all(layers):
            return None
        names = [_name(image, verified=True), *([] if verified else [_name(image, verified=False)])]
        inventory = next((cached for name in names if (cached := self._kept.find(name))), None)
        return add_image_metadata(inventory, image) if inventory and inventory.layers == layers else None

    def keep(self, image: Image, inventory: Inventory, facts: "Sequence[LayerFacts]") -> None:
        """Remembers the inventory that was made of these."""
        if self._kept and all(layer.layer and not layer.unread for layer in facts):
            self._kept.keep(_name(image, verified=all(layer.diff_id for layer in facts)), inventory)


def _name(image: Image, *, verified: bool) -> str:
    said = [[layer.digest, layer.media_type] for layer in image.layers]
    return hashlib.sha256(repr((verified, said, list(image.diff_ids or ()))).encode()).hexdigest()


def _code(package: Path) -> str:
    """A digest of the code, "" where its source is not at hand."""
    digest = hashlib.sha256()
    try:
        for part in PARTS:
            names = sorted(_modules(package / part))
            if not names:
                return ""
            for name in names:
                digest.update(f"{name}\0".encode() + (package / part / name).read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()


def _modules(folder: Path) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in OTHER_PARTS]
        below = os.path.relpath(path, folder)
        yield from (os.path.normpath(os.path.join(below, name)) for name in names if name.endswith(".py"))
