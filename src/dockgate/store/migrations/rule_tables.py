"""The tables of rules, targets and fixes, as the first version makes them."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create the tables of rules, targets and fixes."""
    op.create_table(
        "event_rules",
        *_text("name", "body"),
        *_integer("version"),
        *_text("changed_at", "changed_by"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "event_targets",
        *_text("name", "body"),
        sa.Column("secrets", sa.LargeBinary, nullable=False),
        *_integer("version"),
        *_text("changed_at", "changed_by"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table("event_cursors", *_text("name"), *_big_integer("position"), sa.PrimaryKeyConstraint("name"))
    op.create_table(
        "grouped_events",
        *_text("target", "rule"),
        *_big_integer("position"),
        *_text("at"),
        *_integer("pause_seconds"),
        sa.PrimaryKeyConstraint("target", "rule", "position"),
    )
    op.create_table(
        "notified_topics",
        *_text("target", "topic", "at"),
        sa.PrimaryKeyConstraint("target", "topic"),
    )
    _index("notified_topics", "at")
    op.create_table("sent_summaries", *_text("target", "due_at"), sa.PrimaryKeyConstraint("target"))
    op.create_table(
        "outbox_receivers",
        *_text("kind", "receiver"),
        *_integer("failures", "given_up", "deleted"),
        *_optional_text("paused_until", "last_error", "last_sent_at"),
        sa.PrimaryKeyConstraint("kind", "receiver"),
    )
    op.create_table(
        "pipeline_starts",
        *_text("cause", "rule", "pipeline", "at"),
        sa.PrimaryKeyConstraint("cause"),
    )
    _index("pipeline_starts", "rule", "pipeline", "at")
    op.create_table(
        "fixes",
        *_text("id", "pipeline", "image", "repository", "kind", "action", "details", "source", "parent", "created_at"),
        *_text("state"),
        *_optional_text("branch", "commit", "execution", "reason", "ended_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    _index("fixes", "pipeline", "created_at")


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _optional_text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def _integer(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False) for name in names]


def _big_integer(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
