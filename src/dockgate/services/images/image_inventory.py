"""Read an image, and match its packages to advisories, for commands.

Imports no store and no adapters of delivery: `dockgate scan` has to start at once.
"""

from pathlib import Path
from typing import NamedTuple

from dockgate.config import Settings
from dockgate.reports import ScanReport
from dockgate.scanner import ecosystems
from dockgate.scanner.cache.image_reader import Report, read_images
from dockgate.scanner.cache.inventory_cache import InventoryCache
from dockgate.scanner.local_reference import DOCUMENT, split_scheme
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import ImageOpener
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import CATALOGUES
from dockgate.vulnerabilities.ports import AdvisoryReader

ALL_PLATFORMS = "all"


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
    open_images: ImageOpener,
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
        inventories = read_images(
            images,
            cache,
            report,
            is_local=opened_images.is_local,
            image_cache=image_cache,
            should_hash=should_hash,
        )
        return ScannedImage(reference, digest or inventories[0].image_digest, inventories)


def _find_document(reference: str) -> Path | None:
    """Return the bill of materials that sbom:FILE or a path that ends in .json names.

    FILE is "-" for standard input.
    """
    scheme, path = split_scheme(reference)
    if scheme == DOCUMENT:
        return Path("/dev/stdin" if path == "-" else path)
    return Path(path) if path.endswith(".json") and Path(path).is_file() else None


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
    reference: str,
    open_images: ImageOpener,
    platform: str = "all",
    *,
    ca_bundle: Path | None = None,
    is_insecure: bool = False,
) -> list[tuple[str, list[str]]]:
    """Return each platform of an image with its layers: diff_ids, base first. Every layer is read once.

    Raises what `images.open_images` does, and UsageError for a root folder, which has no layers.
    """
    with open_images(reference, [platform], ca_bundle=ca_bundle, is_insecure=is_insecure) as opened_images:
        diff_ids: dict[str | None, str] = {}
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
