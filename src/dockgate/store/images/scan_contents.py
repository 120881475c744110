"""The content of scans: a document for each platform, and the origins of its layers."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert

from dockgate.scanner.model import Inventory, ScannedPlatform
from dockgate.shared.canonical import decode
from dockgate.store.documents import Document, decompress_document, store_documents
from dockgate.store.queries import select_as
from dockgate.store.records import Scan
from dockgate.store.schema.images import scan_inventories, scans
from dockgate.store.schema.store import documents

_IS_OF_IMAGE = scan_inventories.c.image == bindparam("image")
_SCAN = (
    select_as(Scan, scans)
    .add_columns(documents.c.body, scan_inventories.c.layers)
    .outerjoin(scan_inventories, scan_inventories.c.image == scans.c.image)
    .outerjoin(documents, documents.c.digest == scan_inventories.c.digest)
    .where(scans.c.image == bindparam("image"))
    .order_by(scan_inventories.c.position)
)


def replace_platforms(connection: Connection, image: str, platforms: Sequence[ScannedPlatform]) -> None:
    """Store what was read of an image, instead of what was read before."""
    documents = [Document.from_value(platform.inventory) for platform in platforms]
    store_documents(connection, *documents)
    connection.execute(delete(scan_inventories).where(scan_inventories.c.image == image))
    rows = [
        {
            "image": image,
            "position": at,
            "digest": document.digest,
            "platform_image": platform.inventory.image,
            "layers": platform.origins,
        }
        for at, (document, platform) in enumerate(zip(documents, platforms, strict=True))
    ]
    if rows:
        connection.execute(insert(scan_inventories), rows)


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
