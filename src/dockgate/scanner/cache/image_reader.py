"""Read the inventories of images, each layer and each image once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dockgate.scanner import ecosystems
from dockgate.scanner.cache.inventory_cache import InventoryCache
from dockgate.scanner.model import Inventory, Unread
from dockgate.scanner.ports import Image, Layer
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest

if TYPE_CHECKING:
    from dockgate.scanner.layer_index import LayerFacts

# Packages, and entries that could not be read, in all images of an index; the largest in use have some ten thousand.
# An index can name 256 images with the same full layer.
INDEX_LIMIT = 200_000

# Called with the progress, a few words at a time.
Report = Callable[[str], None]


def read_images(
    images: Sequence[Image],
    cache: Path,
    report: Report = lambda text: None,
    *,
    is_local: bool = False,
    image_cache: InventoryCache | None = None,
    should_hash: bool = False,
    packages_limit: int = INDEX_LIMIT,
) -> tuple[Inventory, ...]:
    """Read the inventories of these images.

    Each layer is read once, and remembered in `cache`; the inventory of an image in `image_cache`, if there is one.
    `is_local`: they lie on this machine. `should_hash`: the layers' content is hashed, and compared
    with the diff_ids of the image's config. The layers of images that follow more than `packages_limit` packages are
    unread. Raises UnavailableError.
    """
    cached_inventories = [image_cache.find(image, should_hash=should_hash) if image_cache else None for image in images]
    new = [image for image, inventory in zip(images, cached_inventories, strict=True) if inventory is None]
    new_inventories = _read_new_images(new, cache, report, is_local, image_cache, should_hash, packages_limit)
    return tuple(inventory or next(new_inventories) for inventory in cached_inventories)


def _read_new_images(
    images: Sequence[Image],
    cache: Path,
    report: Report,
    is_local: bool,
    image_cache: InventoryCache | None,
    should_hash: bool,
    packages_limit: int,
) -> Iterator[Inventory]:
    """Read an image. The digest of a root folder is that of its content."""
    from dockgate.scanner.cache.layer_cache import LayerCache
    from dockgate.scanner.cache.parallel import read_all  # which all is not needed where an image is known
    from dockgate.scanner.inventory import FactsInMemory, combine_facts

    kinds = ecosystems.load()
    layer_cache = LayerCache(cache, kinds, should_hash=should_hash)
    total = len({layer.digest for image in images for layer in image.layers})
    read_layers: set[str | None] = set()
    in_memory = FactsInMemory()
    remaining_packages = packages_limit
    for image in images:
        if remaining_packages < 0:
            yield combine_facts(image, [_mark_unread(layer, packages_limit) for layer in image.layers], kinds)
            continue
        in_memory.start_image()
        layers = {layer.digest: layer for layer in image.layers}
        missing_digests = []
        for digest, layer in layers.items():
            if digest not in in_memory:
                if facts := layer_cache.find(layer):
                    in_memory.add(facts)
                else:
                    missing_digests.append(layer)
        read_layers |= layers.keys() - {layer.digest for layer in missing_digests}
        for facts in read_all(layer_cache, missing_digests, is_local=is_local):
            in_memory.add(facts)
            read_layers.add(facts.layer)
            report(f"read layer {len(read_layers)} of {total}")
        layer_facts = [in_memory[layer.digest] for layer in image.layers]
        inventory = combine_facts(image, layer_facts, kinds, should_hash=should_hash)
        remaining_packages -= len(inventory.packages) + len(inventory.unread)
        if image_cache:
            image_cache.keep(image, inventory, layer_facts)
        if inventory.image is None:
            inventory = replace(inventory, image=compute_digest(canonical.encode(inventory)))
        yield inventory


def _mark_unread(layer: Layer, packages_limit: int) -> "LayerFacts":
    from dockgate.scanner.layer_index import LayerFacts

    reason = f"The layer is not read: the images before it in the index have more than {packages_limit:,} packages."
    return LayerFacts(layer.digest, unread=(Unread("/", reason, layer.digest),))
