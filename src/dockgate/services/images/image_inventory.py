"""Read an image, and match its packages to advisories, for commands and for the server's scans.

Imports no store and no adapters of delivery: `dockgate scan` has to start at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dockgate.config import Settings
from dockgate.reports import ScanReport
from dockgate.scanner import ecosystems
from dockgate.scanner.cache.inventory_cache import InventoryCache
from dockgate.scanner.images import open_images
from dockgate.scanner.model import Inventory, Unread
from dockgate.scanner.ports import Image, Layer
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import CATALOGUES
from dockgate.vulnerabilities.ports import AdvisoryReader

if TYPE_CHECKING:
    from dockgate.scanner.layer_index import LayerFacts

ALL_PLATFORMS = "all"
# Before the path of a bill of materials.
DOCUMENT = "sbom:"

# Packages, and entries that could not be read, in all images of an index; the largest in use have some ten thousand.
# An index can name 256 images with the same full layer.
INDEX_LIMIT = 200_000

# Called with the progress, a few words at a time.
Report = Callable[[str], None]


class ScannedImage(NamedTuple):
    """The inventories of an image, one a platform.

    `digest` is that of the manifest or index that `reference` names. If one platform of an index was requested, it is
    the digest of that platform's manifest.
    """

    reference: str
    digest: str
    inventories: tuple[Inventory, ...]


def scan(
    reference: str,
    settings: Settings,
    *,
    platform: str | None = None,
    is_insecure: bool = False,
    ca_bundle: Path | None = None,
    report: Report = lambda text: None,
    should_hash: bool = False,
) -> ScannedImage:
    """Read an image, a root folder (its digest is its inventory's), or a CycloneDX or SPDX document.

    `platform` is "os/arch" or "os/arch/variant", "all", or None for this machine's; a document is read whole.
    `should_hash`: the layers' content is hashed, and compared with the diff_ids of the image's config, as for a
    verdict; it takes a third longer.

    Raises what `images.open_images` and `sboms.read` do, and UsageError for a platform with several variants.
    """
    report(f"opening {reference}")
    if document := _find_document(reference):
        from dockgate.scanner import sboms

        try:
            bill = sboms.read(document, ecosystems.load())
        except OSError as error:
            advice = "Give the path of a CycloneDX or SPDX document."
            raise UsageError(f"{document} cannot be read: {error.strerror}", advice) from None
        return ScannedImage(reference, bill.digest, bill.inventories)
    platforms = [platform] if platform else None
    with open_images(
        reference, platforms, ca_bundle=ca_bundle or settings.ca_bundle, is_insecure=is_insecure
    ) as opened_images:
        digest = opened_images.digest
        if platform != ALL_PLATFORMS:
            if len(opened_images.images) > 1:
                variants = ", ".join(image.platform for image in opened_images.images)
                raise UsageError(f"{reference} has several images for {platform}", f"Name one of: {variants}.")
            digest = opened_images.images[0].digest
        images, cache, image_cache = opened_images.images, settings.cache, InventoryCache(settings.cache)
        inventories = read(
            images,
            cache,
            report,
            is_local=opened_images.is_local,
            image_cache=image_cache,
            should_hash=should_hash,
        )
        return ScannedImage(reference, digest or inventories[0].image, inventories)


def _find_document(reference: str) -> Path | None:
    """Return the bill of materials that sbom:FILE or a path that ends in .json names.

    FILE is "-" for standard input.
    """
    path = reference.removeprefix(DOCUMENT)
    if reference == f"{DOCUMENT}-":
        return Path("/dev/stdin")
    if path != reference or (path.endswith(".json") and Path(path).is_file()):
        return Path(path)
    return None


def read(
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
    `is_local`: they lie on this machine. `should_hash`: as in `scan`. The layers of images that follow more than
    `packages_limit` packages are unread. Raises UnavailableError.
    """
    cached_inventories = [image_cache.find(image, should_hash=should_hash) if image_cache else None for image in images]
    new = [image for image, inventory in zip(images, cached_inventories, strict=True) if inventory is None]
    new_inventories = _read(new, cache, report, is_local, image_cache, should_hash, packages_limit)
    return tuple(inventory or next(new_inventories) for inventory in cached_inventories)


def _read(
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
    read_layers: set[str] = set()
    in_memory = FactsInMemory()
    remaining = packages_limit
    for image in images:
        if remaining < 0:
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
        remaining -= len(inventory.packages) + len(inventory.unread)
        if image_cache:
            image_cache.keep(image, inventory, layer_facts)
        yield inventory if inventory.image else replace(inventory, image=compute_digest(canonical.encode(inventory)))


def _mark_unread(layer: Layer, packages_limit: int) -> "LayerFacts":
    from dockgate.scanner.layer_index import LayerFacts

    reason = f"The layer is not read: the images before it in the index have more than {packages_limit:,} packages."
    return LayerFacts(layer.digest, unread=(Unread("/", reason, layer.digest),))


def look_up(image: ScannedImage, advisories: AdvisoryReader) -> ScanReport:
    """Return what affects the packages, by these advisories."""
    snapshot = advisories.read_snapshot(image.inventories)
    matcher = Matcher(snapshot, ecosystems.load())
    return ScanReport(
        image.reference,
        image.digest,
        tuple((inventory, matcher.match(inventory.packages)) for inventory in image.inventories),
        tuple(coverage for coverage in snapshot.coverage if coverage.ecosystem not in CATALOGUES),
    )


def read_base_layers(
    reference: str, platform: str = "all", *, ca_bundle: Path | None = None, is_insecure: bool = False
) -> list[tuple[str, list[str]]]:
    """Return each platform of an image with its layers: diff_ids, base first. Every layer is read once.

    Raises what `images.open_images` does, and UsageError for a root folder, which has no layers.
    """
    with open_images(reference, [platform], ca_bundle=ca_bundle, is_insecure=is_insecure) as opened_images:
        diff_ids: dict[str, str] = {}
        platforms = []
        for image in opened_images.images:
            for layer in image.layers:
                if layer.digest in diff_ids:
                    continue
                diff_id = layer.hash_content()
                if diff_id is None:
                    raise UsageError(f"{reference} has no layers", "Name an image in a registry, layout or archive.")
                diff_ids[layer.digest] = diff_id
            platforms.append((image.platform, [diff_ids[layer.digest] for layer in image.layers]))
        return platforms
