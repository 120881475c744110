"""The tables of collections, as the first version makes them."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create the tables of collections."""
    op.create_table(
        "collections",
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("requested_at", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text),
        sa.Column("finished_at", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "push_gate",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("closed_until", sa.Text),
        sa.Column("pushes_until", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
