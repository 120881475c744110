"""Cache inventories: the same layers are combined once by the same code."""

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
    """Inventories in files of `folder`, keyed by what they are made from.

    That is layers, manifest, config and a hash of the scanner's source. The hash makes a changed scanner check again
    the images that it read before. Inventories with an unreadable layer are not stored, nor is the rest of the config.
    """

    def __init__(self, folder: Path, package: Path = PACKAGE) -> None:
        code = _hash_code(package)
        self._cache = FileCache(folder / "images" / code[:16], Inventory) if code else None

    def find(self, image: Image, *, should_hash: bool = False) -> Inventory | None:
        """Return the cached inventory of an image, or None. A folder has no digest and is never cached.

        `should_hash`: the layers' uncompressed content has to have been hashed for it.
        """
        layers = tuple(layer.digest for layer in image.layers)
        if self._cache is None or not all(layers):
            return None
        names = [
            _make_name(image, has_diff_ids=True),
            *([] if should_hash else [_make_name(image, has_diff_ids=False)]),
        ]
        inventory = next((cached_inventory for name in names if (cached_inventory := self._cache.find(name))), None)
        return add_image_metadata(inventory, image) if inventory and inventory.layers == layers else None

    def keep(self, image: Image, inventory: Inventory, facts: "Sequence[LayerFacts]") -> None:
        """Store the inventory that was made of these layers."""
        if self._cache and all(layer.layer and not layer.unread for layer in facts):
            self._cache.keep(_make_name(image, has_diff_ids=all(layer.diff_id for layer in facts)), inventory)


def _make_name(image: Image, *, has_diff_ids: bool) -> str:
    layers_read = [[layer.digest, layer.media_type] for layer in image.layers]
    return hashlib.sha256(repr((has_diff_ids, layers_read, list(image.diff_ids or ()))).encode()).hexdigest()


def _hash_code(package: Path) -> str | None:
    """Return a digest of the scanner's source, None if the source is not available."""
    digest = hashlib.sha256()
    try:
        for part in PARTS:
            names = sorted(_list_modules(package / part))
            if not names:
                return None
            for name in names:
                digest.update(f"{name}\0".encode() + (package / part / name).read_bytes())
    except OSError:
        return None
    return digest.hexdigest()


def _list_modules(folder: Path) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in OTHER_PARTS]
        relative_path = os.path.relpath(path, folder)
        yield from (os.path.normpath(os.path.join(relative_path, name)) for name in names if name.endswith(".py"))
