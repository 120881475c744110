"""Inventories with the diff_ids of their layers, which the rule `base_image` compares with those of base images."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dockgate.scanner.cache.file_cache import FileCache
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Image, Layer
from dockgate.shared.errors import ImageError

# Layers that are read at once: inflating and hashing release the interpreter's lock.
_THREADS = 4


@dataclass(frozen=True, slots=True)
class KnownDiffId:
    """A layer's blob digest and its diff_id."""

    blob: str
    diff_id: str


def with_diff_ids(images: Sequence[Image], inventories: Sequence[Inventory], cache: Path) -> tuple[Inventory, ...]:
    """Return these inventories with the `diff_ids` of their layers, computed from the bytes.

    They are remembered in `cache`. A diff_id is "" if the layer cannot be read. Raises UnavailableError if a layer
    cannot be fetched.
    """
    stored = FileCache(cache / "diff_ids", KnownDiffId)
    layers = {layer.digest: layer for image in images for layer in image.layers if layer.digest}
    with ThreadPoolExecutor(_THREADS) as pool:
        diff_ids = dict(zip(layers, pool.map(lambda layer: _diff_id(layer, stored), layers.values()), strict=True))
    return tuple(
        replace(inventory, diff_ids=inventory.diff_ids or tuple(diff_ids.get(layer, "") for layer in inventory.layers))
        for inventory in inventories
    )


def _diff_id(layer: Layer, cache: FileCache[KnownDiffId]) -> str:
    name = layer.digest.replace(":", "-")
    cached = cache.find(name)
    if cached is not None and cached.blob == layer.digest:
        return cached.diff_id
    try:
        diff_id = layer.hash_content()
    except ImageError:
        return ""  # the inventory says already that the layer is unread
    cache.keep(name, KnownDiffId(layer.digest, diff_id))
    return diff_id
