"""The table of the processes that do the work."""

from sqlalchemy import Column, Integer, Table

from dockgate.store.columns import EnumText, Json
from dockgate.store.records import WorkerState
from dockgate.store.schema.tables import metadata, text

# `beats` counts up while the worker lives: see `workflows.leases`.
workers = Table(
    "workers",
    metadata,
    text("id", primary_key=True),
    text("node"),
    text("version"),
    Column("queues", Json(tuple[str, ...]), nullable=False),
    Column("labels", Json(dict[str, str]), nullable=False),
    Column("state", EnumText(WorkerState), nullable=False),
    Column("beats", Integer, nullable=False),
    text("started_at"),
    text("seen_at"),
)
