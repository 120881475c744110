"""The tables of what lies directly in `store/`: the id of the store, documents and workers."""

from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table

from dockgate.store.columns import EnumText, Json
from dockgate.store.records import WorkerState
from dockgate.store.schema.base import define_text, metadata

# One row: the id of this store, which no other store has, and whether a server has claimed a folder for its files.
identity = Table(
    "identity",
    metadata,
    define_text("id", primary_key=True),
    Column("has_folder", Boolean, nullable=False),
)

# Canonical bytes by their digest, deflated (RFC 1950). `kind` is the name of the dataclass that they encode.
documents = Table(
    "documents",
    metadata,
    define_text("digest", primary_key=True),
    define_text("kind"),
    Column("body", LargeBinary, nullable=False),
)

# `beats` counts up while the worker lives: see `workflows.leases`.
workers = Table(
    "workers",
    metadata,
    define_text("id", primary_key=True),
    define_text("node"),
    define_text("version"),
    Column("queues", Json(tuple[str, ...]), nullable=False),
    Column("labels", Json(dict[str, str]), nullable=False),
    Column("state", EnumText(WorkerState), nullable=False),
    Column("beats", Integer, nullable=False),
    define_text("started_at"),
    define_text("seen_at"),
)
