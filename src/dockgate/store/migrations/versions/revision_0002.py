"""Notices, until every notifier has taken them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    names = ("key", "notifier", "kind", "title", "body", "detail", "since", "next_at", "delivered_at", "last_error")
    op.create_table(
        "notices",
        *(sa.Column(name, sa.Text, nullable=False) for name in names),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key", "notifier"),
    )
    op.create_index("ix_notices_notifier_next_at", "notices", ["notifier", "next_at"])
    op.create_index("ix_notices_since", "notices", ["since"])
