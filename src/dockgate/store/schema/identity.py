"""The tables of principals, their tokens and sessions, and the audit log."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table

from dockgate.identity.model import Permission, ProjectRole, Role
from dockgate.store.columns import Json, SafeText
from dockgate.store.schema.base import metadata, optional, sequence, text

# The least status of an answer that refuses a call.
FIRST_REFUSAL = 400

# `folded` is the name in lower case: two principals never differ in case alone.
principals = Table(
    "principals",
    metadata,
    text("name", primary_key=True),
    text("folded", unique=True),
    Column("roles", Json(tuple[Role, ...]), nullable=False),
    optional("email"),
    optional("created_at"),
    optional("disabled_at"),
    Column("project_roles", Json(tuple[ProjectRole, ...]), nullable=False),
)

# The link by which the first administrator is added: at most one.
first_admin_links = Table(
    "first_admin_links",
    metadata,
    text("digest", primary_key=True),
    text("expires_at"),
)

# Who a principal is at an identity provider.
identities = Table(
    "identities",
    metadata,
    text("issuer", primary_key=True),
    text("subject", primary_key=True),
    text("principal", ForeignKey(principals.c.name)),
)

tokens = Table(
    "tokens",
    metadata,
    sequence(),
    text("id", unique=True),
    text("principal", ForeignKey(principals.c.name)),
    text("digest"),
    Column("scopes", Json(tuple[Permission, ...]), nullable=False),
    Column("repositories", Json(tuple[str, ...]), nullable=False),
    Column("pipelines", Json(tuple[str, ...]), nullable=False),
    text("created_at"),
    text("expires_at"),
    optional("last_used_at"),
    optional("revoked_at"),
    Column("is_session", Boolean, nullable=False),
)
Index(None, tokens.c.principal, tokens.c.seq)

sessions = Table(
    "sessions",
    metadata,
    text("digest", primary_key=True),
    text("token", ForeignKey(tokens.c.id)),
    text("created_at"),
    text("seen_at"),
    text("ends_at"),
    Column("ended_at", SafeText),
)
Index(None, sessions.c.token)
Index(None, sessions.c.ends_at)

audit = Table(
    "audit",
    metadata,
    sequence(),
    text("id", unique=True),
    text("at"),
    text("who"),
    text("token"),
    text("call"),
    text("subject"),
    Column("status", Integer, nullable=False),
    optional("detail"),
)
Index(None, audit.c.who, audit.c.seq)
Index(None, audit.c.call, audit.c.seq)
# Few calls are refused or get no answer: these are found without reading the others.
for name, condition in (("refused", audit.c.status >= FIRST_REFUSAL), ("unanswered", audit.c.status == 0)):
    Index(f"ix_audit_{name}", audit.c.seq, sqlite_where=condition, postgresql_where=condition)
