"""The tables of events: pushes, the event log, rules and targets, and the outbox."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table

from dockgate.events.model import PushKind, Rule, Target
from dockgate.store.columns import EnumText, Json, SafeText, SubjectText
from dockgate.store.records import OutboxKind
from dockgate.store.schema.base import (
    define_optional_text,
    define_sequence,
    define_text,
    define_text_or_empty,
    metadata,
)

# SQLite counts up only columns of the type INTEGER, which has 64 bits there.
_Number = BigInteger().with_variant(Integer, "sqlite")

# The recorded head of each branch, None for a deleted one, and how often it has moved.
heads = Table(
    "heads",
    metadata,
    define_text("repository", primary_key=True),
    define_text("branch", primary_key=True),
    define_text_or_empty("head"),
    Column("moves", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    define_sequence(),
    define_text("id", unique=True),
    Column("kind", EnumText(PushKind), nullable=False),
    Column("detail", Json(dict[str, str]), nullable=False),
    define_text("at"),
    define_optional_text("handled_at"),
)
Index(None, events.c.handled_at, events.c.seq)

# `position` is the order of the inserts, in which transactions may overlap; `seq` is the order in which readers see
# the events. It is NULL until a reader numbers the event: see `store/events/log.py`.
event_log = Table(
    "event_log",
    metadata,
    Column("position", _Number, primary_key=True),
    Column("seq", _Number, unique=True),
    define_text("id", unique=True),
    define_text("source"),
    define_text("detail_type"),
    Column("subject", SubjectText, nullable=False),
    define_text("at"),
    Column("repository", SafeText),
    Column("pipeline", SafeText),
    Column("body", Json(dict[str, Any]), nullable=False),
)
Index(None, event_log.c.at)

event_rules = Table(
    "event_rules",
    metadata,
    define_text("name", primary_key=True),
    Column("body", Json(Rule), nullable=False),
    Column("version", Integer, nullable=False),
    define_text("changed_at"),
    define_text("changed_by"),
)

# `secrets` are encrypted: see `store.secret_box`.
event_targets = Table(
    "event_targets",
    metadata,
    define_text("name", primary_key=True),
    Column("body", Json(Target), nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    define_text("changed_at"),
    define_text("changed_by"),
)

# The number of the last event that a reader of the event log has handled.
event_cursors = Table(
    "event_cursors", metadata, define_text("name", primary_key=True), Column("position", BigInteger, nullable=False)
)

# Events that wait to become one message of a target. `position` is the event's number.
grouped_events = Table(
    "grouped_events",
    metadata,
    define_text("target", primary_key=True),
    define_text("rule", primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    define_text("at"),
    Column("pause_seconds", Integer, nullable=False),
)

# What a target was notified about, and when that last happened: the same thing is not sent again.
notified_topics = Table(
    "notified_topics",
    metadata,
    define_text("target", primary_key=True),
    define_text("topic", primary_key=True),
    define_text("at"),
)
Index(None, notified_topics.c.at)

# The topic of the last message about each state (the beginning of its topics), and when the state last occurred.
notified_states = Table(
    "notified_states",
    metadata,
    define_text("target", primary_key=True),
    define_text("state", primary_key=True),
    define_text("topic"),
    define_text("at"),
)
Index(None, notified_states.c.at)

# The last event of each state that contradicts the last message about it. Once it is sent, targets are notified of the
# topic `reopened` again.
unsettled_states = Table(
    "unsettled_states",
    metadata,
    define_text("target", primary_key=True),
    define_text("state", primary_key=True),
    define_text("rule"),
    Column("position", BigInteger, nullable=False),
    define_text("at"),
    Column("pause_seconds", Integer, nullable=False),
    define_text("topic"),
    define_text("reopened"),
)
Index(None, unsettled_states.c.at)

# When the last daily summary of a target was due.
sent_summaries = Table("sent_summaries", metadata, define_text("target", primary_key=True), define_text("due_at"))

# What is still to be sent, and what was: see `records.OutboxEntry`.
outbox = Table(
    "outbox",
    metadata,
    Column("kind", EnumText(OutboxKind), primary_key=True, nullable=False),
    define_text("key", primary_key=True),
    define_text("receiver", primary_key=True),
    Column("payload", Json(dict[str, Any]), nullable=False),
    Column("image", SafeText),
    Column("due_since", SafeText),
    Column("next_at", SafeText),
    Column("attempts", Integer, nullable=False),
    Column("done_at", SafeText),
    Column("result", SafeText),
    Column("last_error", SafeText),
    Column("claimed_by", SafeText),
    Column("subject", SubjectText),
    Column("position", BigInteger),
    Column("dismissed_at", SafeText),
    Column("dismissed_by", SafeText),
    Column("dismissal_reason", SafeText),
)
Index(None, outbox.c.kind, outbox.c.next_at)
Index(None, outbox.c.kind, outbox.c.claimed_by)
Index(None, outbox.c.kind, outbox.c.due_since)
Index(None, outbox.c.image)
# For entries that are sent in order.
Index(
    None,
    *(outbox.c.kind, outbox.c.receiver, outbox.c.subject, outbox.c.position),
    sqlite_where=outbox.c.subject.is_not(None),
    postgresql_where=outbox.c.subject.is_not(None),
)

# Receivers of the outbox that fail, or have failed: the circuit breaker.
outbox_receivers = Table(
    "outbox_receivers",
    metadata,
    Column("kind", EnumText(OutboxKind), primary_key=True, nullable=False),
    define_text("receiver", primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("given_up", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("paused_until", SafeText),
    Column("last_error", SafeText),
    Column("last_sent_at", SafeText),
    define_optional_text("gone_at"),
)

# Executions that rules have started: a rule may start a pipeline only so often.
pipeline_starts = Table(
    "pipeline_starts",
    metadata,
    define_text("cause", primary_key=True),
    define_text("rule"),
    define_text("pipeline"),
    define_text("at"),
)
Index(None, pipeline_starts.c.rule, pipeline_starts.c.pipeline, pipeline_starts.c.at)
