"""The tables of what lies directly in `store/`: the id of the store, documents and workers."""

from sqlalchemy import Column, Integer, LargeBinary, Table

from dockgate.store.columns import EnumText, Json
from dockgate.store.records import WorkerState
from dockgate.store.schema.base import metadata, text

# One row: the id of this store, which no other store has.
identity = Table("identity", metadata, text("id", primary_key=True))

# Canonical bytes by their digest, deflated (RFC 1950). `kind` is the name of the dataclass that they encode.
documents = Table(
    "documents",
    metadata,
    text("digest", primary_key=True),
    text("kind"),
    Column("body", LargeBinary, nullable=False),
)

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
