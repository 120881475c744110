"""Reading an image at a terminal, with ecosystems and the advisory database alone: a scan has to start at once."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dockgate import ecosystems
from dockgate.advisories.database import Database
from dockgate.bootstrap.layers import LayerCache
from dockgate.config import Settings
from dockgate.core.errors import UsageError
from dockgate.core.facts import LayerFacts
from dockgate.core.inventory import combine
from dockgate.core.match import Matcher
from dockgate.core.model import Inventory
from dockgate.core.ports import AdvisoryReader, Ecosystem, Image, Layer
from dockgate.images import open_images
from dockgate.reports import ScanReport

ALL = "all"

Report = Callable[[str], None]
"""is told what goes on, a few words at a time"""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was read: one inventory a platform.

    `digest` is of the manifest or index that `reference` names; when one platform of an index was asked for, of that
    platform's manifest, for it says nothing about the index.
    """

    reference: str
    digest: str
    inventories: tuple[Inventory, ...]


def scan(
    reference: str,
    settings: Settings,
    *,
    platform: str = "",
    insecure: bool = False,
    ca_bundle: Path | None = None,
    report: Report = lambda text: None,
) -> Scanned:
    """Reads the image. `platform` is "os/arch" or "os/arch/variant", "all", or "" for this machine's.

    Raises what `images.open_images` does, and UsageError for a platform of which there are several variants.
    """
    report(f"opening {reference}")
    platforms = [platform] if platform else None
    with open_images(reference, platforms, ca_bundle=ca_bundle or settings.ca_bundle, insecure=insecure) as opened:
        digest = opened.digest
        if platform != ALL:
            if len(opened.images) > 1:
                variants = ", ".join(image.platform for image in opened.images)
                raise UsageError(f"{reference} has several images for {platform}.", f"Name one of: {variants}.")
            digest = opened.images[0].digest
        return Scanned(reference, digest, read(opened.images, settings.cache, report))


def read(images: Sequence[Image], cache: Path, report: Report = lambda text: None) -> tuple[Inventory, ...]:
    """The inventories of these images. Each layer is read once, and remembered in `cache`. Raises UnavailableError."""
    kinds = ecosystems.load()
    cached = LayerCache(cache, kinds)
    layers = {layer.digest: layer for image in images for layer in image.layers}
    known: dict[str, LayerFacts] = {}
    for digest, layer in layers.items():
        if facts := cached.find(layer):
            known[digest] = facts
    missing = [layer for digest, layer in layers.items() if digest not in known]
    for facts in _side_by_side(cached.read, missing):
        known[facts.layer] = facts
        report(f"read layer {len(known)} of {len(layers)}")
    return tuple(_inventory(image, known, kinds) for image in images)


def _side_by_side(read: Callable[[Layer], LayerFacts], layers: Sequence[Layer]) -> Iterator[LayerFacts]:
    """The layers' facts as they come. Inflating leaves the interpreter free for the next layer: each processor has
    one."""
    workers = min(len(layers), os.cpu_count() or 1)
    if workers < 2:
        yield from map(read, layers)
        return
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in as_completed([pool.submit(read, layer) for layer in layers]):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _inventory(image: Image, known: dict[str, LayerFacts], kinds: Sequence[Ecosystem]) -> Inventory:
    return combine(image, [known[layer.digest] for layer in image.layers], kinds)


def advisories(path: Path) -> Database:
    """The advisory database. Raises DatabaseError, whose advice names the command that brings one."""
    return Database.open(path)


def look_up(scanned: Scanned, advisories: AdvisoryReader) -> ScanReport:
    """What the packages suffer by these advisories."""
    consulted = advisories.slice(scanned.inventories)
    matcher = Matcher(consulted, ecosystems.load())
    return ScanReport(
        scanned.reference,
        scanned.digest,
        tuple((inventory, matcher.match(inventory.packages)) for inventory in scanned.inventories),
        consulted.coverage,
    )
