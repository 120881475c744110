"""The table of when images were pulled and run: how long an image is watched can depend on it."""

from sqlalchemy import Column, Table

from dockgate.store.columns import SafeText
from dockgate.store.schema import metadata, text

image_uses = Table(
    "image_uses",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    Column("pulled_at", SafeText),
    Column("run_at", SafeText),
)
