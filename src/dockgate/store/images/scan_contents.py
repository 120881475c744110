"""The content of scans: a document for each platform, and the origins of its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, bindparam, delete, insert

from dockgate.scanner.model import Inventory, LayerBuildInfo, ScannedPlatform
from dockgate.shared.canonical import decode
from dockgate.store.documents import Document, decompress_document, store_documents
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.records import Scan
from dockgate.store.schema.images import scan_inventories, scans
from dockgate.store.schema.store import documents

_DELETE_PLATFORMS = delete(scan_inventories).where(is_one_of(scan_inventories.c.image, "images"))
_INSERT_PLATFORMS = insert(scan_inventories)
_SCAN = (
    select_as(Scan, scans)
    .add_columns(documents.c.body, scan_inventories.c.layers)
    .outerjoin(scan_inventories, scan_inventories.c.image == scans.c.image)
    .outerjoin(documents, documents.c.digest == scan_inventories.c.digest)
    .where(scans.c.image == bindparam("image"))
    .order_by(scan_inventories.c.position)
)


@dataclass(frozen=True, slots=True)
class ReadPlatform:
    """What was read of a platform: its inventory as a document, and the origins of its layers."""

    image: str
    document: Document
    layers: Sequence[LayerBuildInfo]

    @classmethod
    def from_platform(cls, platform: ScannedPlatform) -> Self:
        """Encode and compress what was read, before the transaction that stores it."""
        document = Document.from_value(platform.inventory)
        _ = document.body
        return cls(platform.inventory.image_digest, document, platform.origins)


def replace_platforms(connection: Connection, platforms_by_image: Mapping[str, Sequence[ReadPlatform]]) -> None:
    """Store what was read of images, instead of what was read before."""
    platforms = [platform for platforms in platforms_by_image.values() for platform in platforms]
    store_documents(connection, *(platform.document for platform in platforms))
    connection.execute(_DELETE_PLATFORMS, {"images": make_text_list(list(platforms_by_image))})
    rows = [
        {
            "image": image,
            "position": at,
            "digest": platform.document.digest,
            "platform_image": platform.image,
            "layers": platform.layers,
        }
        for image, platforms in platforms_by_image.items()
        for at, platform in enumerate(platforms)
    ]
    if rows:
        connection.execute(_INSERT_PLATFORMS, rows)


def read_scan(connection: Connection, image: str) -> tuple[Scan | None, list[ScannedPlatform]]:
    """The newest scan of an image, and what it has read.

    These are the inventories of a scan with the origins of their layers, in its order.
    """
    scan, platforms = None, []
    for row in connection.execute(_SCAN, {"image": image}):
        *columns, body, layers = row
        scan = Scan(*columns)
        if body is not None:
            platforms.append(ScannedPlatform(decode(Inventory, decompress_document(body)), layers))
    return scan, platforms
