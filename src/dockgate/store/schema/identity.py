"""The tables of principals, their tokens and sessions, and the audit log."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table

from dockgate.identity.model import Permission, ProjectRole, Role
from dockgate.store.columns import Json, NumberOrZero, SafeText
from dockgate.store.schema.base import define_optional_text, define_sequence, define_text, metadata

# The least status of an answer that refuses a call.
FIRST_REFUSAL = 400

# `folded` is the name in lower case: two principals never differ in case alone.
principals = Table(
    "principals",
    metadata,
    define_text("name", primary_key=True),
    define_text("folded", unique=True),
    Column("roles", Json(tuple[Role, ...]), nullable=False),
    define_optional_text("email"),
    define_optional_text("created_at"),
    define_optional_text("disabled_at"),
    Column("project_roles", Json(tuple[ProjectRole, ...]), nullable=False),
)

# The link by which the first administrator is added: at most one.
first_admin_links = Table(
    "first_admin_links",
    metadata,
    define_text("digest", primary_key=True),
    define_text("expires_at"),
)

# Who a principal is at an identity provider.
identities = Table(
    "identities",
    metadata,
    define_text("issuer", primary_key=True),
    define_text("subject", primary_key=True),
    define_text("principal", ForeignKey(principals.c.name)),
)

tokens = Table(
    "tokens",
    metadata,
    define_sequence(),
    define_text("id", unique=True),
    define_text("principal", ForeignKey(principals.c.name)),
    define_text("digest"),
    Column("scopes", Json(tuple[Permission, ...]), nullable=False),
    Column("repositories", Json(tuple[str, ...]), nullable=False),
    Column("pipelines", Json(tuple[str, ...]), nullable=False),
    define_text("created_at"),
    define_text("expires_at"),
    define_optional_text("last_used_at"),
    define_optional_text("revoked_at"),
    Column("is_session", Boolean, nullable=False),
)
Index(None, tokens.c.principal, tokens.c.seq)

sessions = Table(
    "sessions",
    metadata,
    define_text("digest", primary_key=True),
    define_text("token", ForeignKey(tokens.c.id)),
    define_text("created_at"),
    define_text("seen_at"),
    define_text("ends_at"),
    Column("ended_at", SafeText),
)
Index(None, sessions.c.token)
Index(None, sessions.c.ends_at)

# Forms of the console that were sent, so that a repetition gets the same answer: where it leads to, none while a form
# is being handled.
form_answers = Table(
    "form_answers",
    metadata,
    define_text("digest", primary_key=True),
    define_text("at"),
    define_optional_text("location"),
)
Index(None, form_answers.c.at)

audit = Table(
    "audit",
    metadata,
    define_sequence(),
    define_text("id", unique=True),
    define_text("at"),
    define_text("who"),
    define_optional_text("token"),
    define_text("call"),
    define_text("subject"),
    Column("status", NumberOrZero, nullable=False),
    define_optional_text("detail"),
)
Index(None, audit.c.who, audit.c.seq)
Index(None, audit.c.call, audit.c.seq)
# Few calls are refused or get no answer: these are found without reading the others.
for name, condition in (("refused", audit.c.status >= FIRST_REFUSAL), ("unanswered", audit.c.status == 0)):
    Index(f"ix_audit_{name}", audit.c.seq, sqlite_where=condition, postgresql_where=condition)
