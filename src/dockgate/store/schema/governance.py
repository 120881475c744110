"""The tables of who pushed what into our repositories, and of which policy judges which images."""

from sqlalchemy import Boolean, Column, Index, Table, UniqueConstraint

from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.store.columns import Json
from dockgate.store.schema.tables import metadata, sequence, text

# Reference updates, asked for and done, by whom.
pushes = Table(
    "pushes",
    metadata,
    sequence(),
    text("push"),
    text("repository"),
    text("ref"),
    text("old"),
    text("new"),
    text("principal"),
    text("email"),
    text("token"),
    text("at"),
    Column("accepted", Boolean, nullable=False),
    UniqueConstraint("push", "ref"),
)
Index(None, pushes.c.repository, pushes.c.ref)
Index(None, pushes.c.repository, pushes.c.accepted)

# Which principal pushed which commit into a repository.
pushed_commits = Table(
    "pushed_commits",
    metadata,
    text("repository", primary_key=True),
    text("commit", primary_key=True),
    text("principal", primary_key=True),
    text("email"),
)

policy_assignments = Table(
    "policy_assignments",
    metadata,
    text("name", primary_key=True),
    Column("body", Json(PolicyAssignment), nullable=False),
    text("changed_at"),
    text("changed_by"),
)

# Every change of an assignment, for questions about the past. `body` is null for a removal.
policy_assignment_changes = Table(
    "policy_assignment_changes",
    metadata,
    sequence(),
    text("name"),
    Column("body", Json(PolicyAssignment), nullable=True),
    text("changed_at"),
    text("changed_by"),
)
