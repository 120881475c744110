"""The table of fixes of rejected images, and what was done with each."""

from sqlalchemy import Column, Index, Table

from dockgate.delivery.fixes import FixDetails, FixKind, FixState
from dockgate.delivery.model import FixAction
from dockgate.store.columns import EnumText, Json, SafeText
from dockgate.store.schema.tables import metadata, text

fixes = Table(
    "fixes",
    metadata,
    text("id", primary_key=True),
    text("pipeline"),
    text("image"),
    text("repository"),
    Column("kind", EnumText(FixKind), nullable=False),
    Column("action", EnumText(FixAction), nullable=False),
    Column("details", Json(FixDetails), nullable=False),
    text("source"),
    text("parent"),
    text("created_at"),
    Column("state", EnumText(FixState), nullable=False),
    Column("branch", SafeText),
    Column("commit", SafeText),
    Column("execution", SafeText),
    Column("reason", SafeText),
    Column("ended_at", SafeText),
)
Index(None, fixes.c.pipeline, fixes.c.created_at)
