"""The tables of who pushed what into our repositories, and of which policy judges which images."""

from sqlalchemy import Boolean, Column, Index, Table, UniqueConstraint

from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.store.columns import Json
from dockgate.store.schema import metadata, seq, words

# Reference updates, asked for and done, by whom.
pushes = Table(
    "pushes",
    metadata,
    seq(),
    words("push"),
    words("repository"),
    words("ref"),
    words("old"),
    words("new"),
    words("principal"),
    words("email"),
    words("token"),
    words("at"),
    Column("accepted", Boolean, nullable=False),
    UniqueConstraint("push", "ref"),
)
Index(None, pushes.c.repository, pushes.c.ref)
Index(None, pushes.c.repository, pushes.c.accepted)

# Which principal pushed which commit into a repository.
pushed_commits = Table(
    "pushed_commits",
    metadata,
    words("repository", primary_key=True),
    words("commit", primary_key=True),
    words("principal", primary_key=True),
    words("email"),
)

policy_assignments = Table(
    "policy_assignments",
    metadata,
    words("name", primary_key=True),
    Column("body", Json(PolicyAssignment), nullable=False),
    words("changed_at"),
    words("changed_by"),
)
