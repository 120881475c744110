"""The tables of images: where they are, how they are used, and what their scans have read."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table

from dockgate.scanner.model import LayerBuildInfo
from dockgate.store.columns import EnumText, Json, SafeText
from dockgate.store.records import ScanState
from dockgate.store.schema.base import (
    define_optional_text,
    define_sequence,
    define_text,
    define_text_or_empty,
    metadata,
)
from dockgate.store.schema.store import documents

pushed_images = Table(
    "pushed_images",
    metadata,
    define_text("repository", primary_key=True),
    define_text_or_empty("tag", primary_key=True),
    define_text("digest", primary_key=True),
    define_text("pushed_at"),
    define_optional_text("pushed_by"),
    # When the image was judged after its push; null until then, and again after a new scan.
    Column("judged_at", SafeText),
)
Index(None, pushed_images.c.digest)
Index(None, pushed_images.c.judged_at)

# Pushes that registries have reported, and that they have not confirmed yet.
reported_pushes = Table(
    "reported_pushes",
    metadata,
    define_text("id", primary_key=True),
    Column("has_own_id", Boolean, nullable=False),
    define_text_or_empty("source"),
    define_text_or_empty("registry"),
    define_text("repository"),
    define_text_or_empty("tag"),
    define_optional_text("digest"),
    define_optional_text("pushed_by"),
    define_optional_text("pushed_at"),
    define_text("received_at"),
    define_text("next_at"),
    Column("attempts", Integer, nullable=False),
    define_optional_text("reason"),
)
Index(None, reported_pushes.c.registry, reported_pushes.c.received_at)

tag_moves = Table(
    "tag_moves",
    metadata,
    define_sequence(),
    define_text("id", unique=True),
    define_text("repository"),
    define_text("tag"),
    define_text("previous"),
    define_text("digest"),
    define_text("moved_at"),
    define_optional_text("pushed_by"),
)
Index(None, tag_moves.c.digest)
Index(None, tag_moves.c.previous)

scans = Table(
    "scans",
    metadata,
    define_text("image", primary_key=True),
    define_text("repository"),
    Column("state", EnumText(ScanState), nullable=False),
    Column("number", Integer, nullable=False),
    define_optional_text("reason"),
    define_text("requested_at"),
    define_optional_text("finished_at"),
    define_optional_text("scanner"),
)
Index(None, scans.c.state, scans.c.requested_at)

# The documents of a scan, one per platform, in the order of the scan.
scan_inventories = Table(
    "scan_inventories",
    metadata,
    define_text("image", ForeignKey(scans.c.image), primary_key=True),
    Column("position", Integer, primary_key=True),
    define_text("digest", ForeignKey(documents.c.digest)),
    # The digest of the platform's manifest: the image itself, or an image in an index.
    define_text("platform_image"),
    Column("layers", Json(tuple[LayerBuildInfo, ...]), nullable=False),
)
Index(None, scan_inventories.c.platform_image)

image_uses = Table(
    "image_uses",
    metadata,
    define_text("image", primary_key=True),
    define_text("repository", primary_key=True),
    Column("pulled_at", SafeText),
    Column("run_at", SafeText),
)
