"""The tables of principals, their tokens and votes, and the audit log."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, UniqueConstraint

from dockgate.identity.model import Permission, Role
from dockgate.store.columns import Json
from dockgate.store.schema import metadata, seq, words

# `folded` is the name in lower case: two principals never differ in case alone.
principals = Table(
    "principals",
    metadata,
    words("name", primary_key=True),
    words("folded", unique=True),
    Column("roles", Json(tuple[Role, ...]), nullable=False),
    words("email"),
    words("created_at"),
    words("disabled_at"),
)

tokens = Table(
    "tokens",
    metadata,
    seq(),
    words("id", unique=True),
    words("principal", ForeignKey(principals.c.name)),
    words("digest"),
    Column("scopes", Json(tuple[Permission, ...]), nullable=False),
    Column("repositories", Json(tuple[str, ...]), nullable=False),
    Column("pipelines", Json(tuple[str, ...]), nullable=False),
    words("created_at"),
    words("expires_at"),
    words("last_used_at"),
    words("revoked_at"),
)
Index(None, tokens.c.principal, tokens.c.seq)

audit = Table(
    "audit",
    metadata,
    seq(),
    words("id", unique=True),
    words("at"),
    words("who"),
    words("token"),
    words("call"),
    words("subject"),
    Column("status", Integer, nullable=False),
    words("detail"),
)
Index(None, audit.c.who, audit.c.seq)

# Votes are kept when their approval is deleted.
votes = Table(
    "votes",
    metadata,
    seq(),
    words("approval"),
    words("who", ForeignKey(principals.c.name)),
    Column("yes", Boolean, nullable=False),
    words("reason"),
    words("at"),
    UniqueConstraint("approval", "who"),
)
