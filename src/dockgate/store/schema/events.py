"""The table of the event log."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, Table

from dockgate.store.columns import Json, SafeText
from dockgate.store.schema.tables import metadata, text

# SQLite counts up only columns of the type INTEGER, which has 64 bits there.
_Number = BigInteger().with_variant(Integer, "sqlite")

# `position` is the order of the inserts, in which transactions may overlap; `seq` is the order in which readers see
# the events. It is NULL until a reader numbers the event: see `store/events/log.py`.
event_log = Table(
    "event_log",
    metadata,
    Column("position", _Number, primary_key=True),
    Column("seq", _Number, unique=True),
    text("id", unique=True),
    text("source"),
    text("detail_type"),
    text("subject"),
    text("at"),
    Column("repository", SafeText),
    Column("pipeline", SafeText),
    Column("body", Json(dict[str, Any]), nullable=False),
)
Index(None, event_log.c.at)
