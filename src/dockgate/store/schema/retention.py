"""The tables of collections: what was removed, and whether images may be pushed meanwhile."""

from typing import Any

from sqlalchemy import Column, Table

from dockgate.store.columns import Json, SafeText
from dockgate.store.schema.base import define_sequence, define_text, metadata

# `report` is empty until the collection has finished.
collections = Table(
    "collections",
    metadata,
    define_sequence(),
    define_text("requested_at"),
    define_text("requested_by"),
    Column("started_at", SafeText),
    Column("finished_at", SafeText),
    Column("error", SafeText),
    Column("report", Json(dict[str, Any]), nullable=False),
)

# One row: the newest plan of a collection (`services.retention.collection_plans`).
collection_plan = Table(
    "collection_plan",
    metadata,
    define_text("name", primary_key=True),
    Column("plan", Json(dict[str, Any]), nullable=False),
)

# One row. No token that can push is issued before `closed_until`, and none that was issued is valid after
# `pushes_until`.
push_barrier = Table(
    "push_barrier",
    metadata,
    define_text("name", primary_key=True),
    Column("closed_until", SafeText),
    define_text("pushes_until"),
)

# One row: the time by which ages are counted (`services.retention.retention_clock`).
retention_time = Table(
    "retention_time",
    metadata,
    define_text("name", primary_key=True),
    define_text("trusted"),
    define_text("clock_time"),
    Column("accepted_at", SafeText),
)
