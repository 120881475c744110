"""The tables of images: where they are, how they are used, and what their scans have read."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from dockgate.scanner.model import LayerOrigin
from dockgate.store.columns import EnumText, Json, SafeText
from dockgate.store.records import ScanState
from dockgate.store.schema.base import metadata, optional, sequence, text
from dockgate.store.schema.store import documents

pushed_images = Table(
    "pushed_images",
    metadata,
    text("repository", primary_key=True),
    text("tag", primary_key=True),
    text("digest", primary_key=True),
    text("pushed_at"),
    optional("pushed_by"),
    # When the image was judged after its push; null until then, and again after a new scan.
    Column("judged_at", SafeText),
)
Index(None, pushed_images.c.digest)
Index(None, pushed_images.c.judged_at)

tag_moves = Table(
    "tag_moves",
    metadata,
    sequence(),
    text("id", unique=True),
    text("repository"),
    text("tag"),
    text("previous"),
    text("digest"),
    text("moved_at"),
    optional("pushed_by"),
)
Index(None, tag_moves.c.digest)
Index(None, tag_moves.c.previous)

scans = Table(
    "scans",
    metadata,
    text("image", primary_key=True),
    text("repository"),
    Column("state", EnumText(ScanState), nullable=False),
    Column("number", Integer, nullable=False),
    optional("reason"),
    text("requested_at"),
    optional("finished_at"),
    optional("scanner"),
)
Index(None, scans.c.state, scans.c.requested_at)

# The documents of a scan, one per platform, in the order of the scan.
scan_inventories = Table(
    "scan_inventories",
    metadata,
    text("image", ForeignKey(scans.c.image), primary_key=True),
    Column("position", Integer, primary_key=True),
    text("digest", ForeignKey(documents.c.digest)),
    # The digest of the platform's manifest: the image itself, or an image in an index.
    text("platform_image"),
    Column("layers", Json(tuple[LayerOrigin, ...]), nullable=False),
)
Index(None, scan_inventories.c.platform_image)

image_uses = Table(
    "image_uses",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    Column("pulled_at", SafeText),
    Column("run_at", SafeText),
)
