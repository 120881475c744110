"""The tables of rules and targets: where events go, and what has gone there."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table

from dockgate.events.rule import Rule, Target
from dockgate.store.columns import EnumText, Json, SafeText
from dockgate.store.records import OutboxKind
from dockgate.store.schema.tables import metadata, optional, text

event_rules = Table(
    "event_rules",
    metadata,
    text("name", primary_key=True),
    Column("body", Json(Rule), nullable=False),
    Column("version", Integer, nullable=False),
    text("changed_at"),
    text("changed_by"),
)

# `secrets` are encrypted: see `store.events.secret_box`.
event_targets = Table(
    "event_targets",
    metadata,
    text("name", primary_key=True),
    Column("body", Json(Target), nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    text("changed_at"),
    text("changed_by"),
)

# The number of the last event that a reader of the event log has handled.
event_cursors = Table(
    "event_cursors", metadata, text("name", primary_key=True), Column("position", BigInteger, nullable=False)
)

# Events that wait to become one message of a target. `position` is the event's number.
grouped_events = Table(
    "grouped_events",
    metadata,
    text("target", primary_key=True),
    text("rule", primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    text("at"),
    Column("pause_seconds", Integer, nullable=False),
)

# What a target was notified about, and when that last happened: the same thing is not sent again.
notified_topics = Table(
    "notified_topics", metadata, text("target", primary_key=True), text("topic", primary_key=True), text("at")
)
Index(None, notified_topics.c.at)

# When the last daily summary of a target was due.
sent_summaries = Table("sent_summaries", metadata, text("target", primary_key=True), text("due_at"))

# Receivers of the outbox that fail, or have failed: the circuit breaker.
outbox_receivers = Table(
    "outbox_receivers",
    metadata,
    Column("kind", EnumText(OutboxKind), primary_key=True, nullable=False),
    text("receiver", primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("given_up", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("paused_until", SafeText),
    Column("last_error", SafeText),
    Column("last_sent_at", SafeText),
    optional("gone_at"),
)

# Executions that rules have started: a rule may start a pipeline only so often.
pipeline_starts = Table(
    "pipeline_starts", metadata, text("cause", primary_key=True), text("rule"), text("pipeline"), text("at")
)
Index(None, pipeline_starts.c.rule, pipeline_starts.c.pipeline, pipeline_starts.c.at)
