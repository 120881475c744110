"""The tables, except those of `schema_people`, `schema_governance` (pushes, policy assignments) and `schema_rollouts`.

Columns have the names and meanings of the fields that they hold; "" means "not yet". `seq` is the order in which rows
were inserted. A change here needs a revision in `migrations/versions`; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from dockgate.delivery.model import ApprovalState, Approvers, Pipeline, State, TaskDefinition
from dockgate.events.model import EventKind
from dockgate.gate.model import Settings, Status, Waiver
from dockgate.store.columns import Choice, Json, Key, Words
from dockgate.store.records import OutboxKind, ScanState

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def seq() -> Column[int]:
    return Column("seq", Integer, primary_key=True)


def words(name: str, *more: ForeignKey, primary_key: bool = False, unique: bool = False) -> Column[str]:
    return Column(name, Words, *more, primary_key=primary_key, unique=unique, nullable=False)


# One row: the id of this store, which no other store has.
identity = Table("identity", metadata, words("id", primary_key=True))

repositories = Table("repositories", metadata, words("name", primary_key=True), words("created_at"))

# The recorded head of each branch, "" for a deleted one, and how often it has moved.
heads = Table(
    "heads",
    metadata,
    words("repository", primary_key=True),
    words("branch", primary_key=True),
    words("head"),
    Column("moves", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    seq(),
    words("id", unique=True),
    Column("kind", Choice(EventKind), nullable=False),
    Column("detail", Json(dict[str, str]), nullable=False),
    words("at"),
    words("handled_at"),
)
Index(None, events.c.handled_at, events.c.seq)

pipelines = Table(
    "pipelines",
    metadata,
    words("name", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", Json(Pipeline), nullable=False),
    words("created_at"),
)

# The image repositories that any version of any pipeline pushes its builds to.
built_repositories = Table("built_repositories", metadata, words("name", primary_key=True))

executions = Table(
    "executions",
    metadata,
    words("id", primary_key=True),
    words("pipeline"),
    Column("number", Integer, nullable=False),
    Column("pipeline_version", Integer, nullable=False),
    Column("state", Choice(State), nullable=False),
    Column("trigger", Json(dict[str, str]), nullable=False),
    words("cause"),
    words("reason"),
    words("started_at"),
    words("finished_at"),
    UniqueConstraint("pipeline", "number"),
    UniqueConstraint("pipeline", "cause"),
    ForeignKeyConstraint(["pipeline", "pipeline_version"], [pipelines.c.name, pipelines.c.version]),
)
Index(None, executions.c.state)
Index(None, executions.c.cause)

action_runs = Table(
    "action_runs",
    metadata,
    seq(),
    Column("key", Key, unique=True, nullable=False),
    words("execution", ForeignKey(executions.c.id)),
    Column("state", Choice(State), nullable=False),
    words("reason"),
    Column("variables", Json(dict[str, str]), nullable=False),
    words("artifact"),
    words("started_at"),
    words("finished_at"),
)
Index(None, action_runs.c.execution, action_runs.c.seq)

approvals = Table(
    "approvals",
    metadata,
    seq(),
    words("id", unique=True),
    words("token"),
    words("image"),
    words("repository"),
    words("policy"),
    words("custom_data"),
    words("created_at"),
    words("expires_at"),
    Column("state", Choice(ApprovalState), nullable=False),
    words("summary"),
    words("verdict"),
    words("decided_by"),
    words("settled_at"),
    words("reference"),
    words("pipeline"),
    words("service"),
    words("asked_by"),
    Column("approvers", Json(Approvers)),
    Column("committers", Json(tuple[str, ...]), nullable=False),
)
Index(None, approvals.c.image, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.expires_at)

# What is still to be sent, and what was: see `records.OutboxEntry`.
outbox = Table(
    "outbox",
    metadata,
    Column("kind", Choice(OutboxKind), primary_key=True, nullable=False),
    words("key", primary_key=True),
    words("receiver", primary_key=True),
    Column("payload", Json(dict[str, Any]), nullable=False),
    Column("image", Words),
    Column("due_since", Words),
    Column("next_at", Words),
    Column("attempts", Integer, nullable=False),
    Column("done_at", Words),
    Column("result", Words),
    Column("last_error", Words),
)
Index(None, outbox.c.kind, outbox.c.next_at)
Index(None, outbox.c.kind, outbox.c.due_since)
Index(None, outbox.c.image)

built_statements = Table(
    "built_statements",
    metadata,
    words("build", primary_key=True),
    words("image"),
    words("repository"),
    words("envelope"),
    words("built_at"),
)
Index(None, built_statements.c.image)

# Provenance statements fetched from registries: a compressed JSON list of DSSE envelopes. Signatures are verified when
# a verdict is made, because the policy names the keys.
fetched_statements = Table(
    "fetched_statements",
    metadata,
    words("image", primary_key=True),
    words("fetched_at"),
    Column("fetch_error", Words, nullable=True),
    Column("envelopes", LargeBinary, nullable=False),
)

pushed_images = Table(
    "pushed_images",
    metadata,
    words("repository", primary_key=True),
    words("tag", primary_key=True),
    words("digest", primary_key=True),
    words("pushed_at"),
    words("pushed_by"),
)
Index(None, pushed_images.c.digest)

tag_moves = Table(
    "tag_moves",
    metadata,
    seq(),
    words("id", unique=True),
    words("repository"),
    words("tag"),
    words("previous"),
    words("digest"),
    words("moved_at"),
    words("pushed_by"),
    words("announced_at"),
)
Index(None, tag_moves.c.digest)
Index(None, tag_moves.c.previous)
Index(None, tag_moves.c.announced_at)

scans = Table(
    "scans",
    metadata,
    words("image", primary_key=True),
    words("repository"),
    Column("state", Choice(ScanState), nullable=False),
    Column("number", Integer, nullable=False),
    words("reason"),
    words("requested_at"),
    words("finished_at"),
)
Index(None, scans.c.state, scans.c.requested_at)

# Canonical bytes by their digest, deflated (RFC 1950). `kind` is the name of the dataclass that they encode.
documents = Table(
    "documents",
    metadata,
    words("digest", primary_key=True),
    words("kind"),
    Column("body", LargeBinary, nullable=False),
)

# The documents of a scan, one per platform, in the order of the scan.
scan_inventories = Table(
    "scan_inventories",
    metadata,
    words("image", ForeignKey(scans.c.image), primary_key=True),
    Column("position", Integer, primary_key=True),
    words("digest", ForeignKey(documents.c.digest)),
)

reports = Table(
    "reports",
    metadata,
    words("image", primary_key=True),
    words("source", primary_key=True),
    words("platform", primary_key=True),
    words("by", primary_key=True),
    words("digest", ForeignKey(documents.c.digest)),
    words("made_at"),
    Column("vouched", Boolean, nullable=False),
    words("added_at"),
)

verdicts = Table(
    "verdicts",
    metadata,
    seq(),
    words("cause", unique=True),
    words("digest", ForeignKey(documents.c.digest)),
    words("image"),
    words("policy"),
    Column("status", Choice(Status), nullable=False),
    words("summary"),
    words("waived"),
    words("judged_at"),
)
Index(None, verdicts.c.image, verdicts.c.seq)

policies = Table(
    "policies",
    metadata,
    seq(),
    words("name"),
    Column("version", Integer, nullable=False),
    words("digest"),
    Column("rules", Json(dict[str, tuple[Settings, ...]]), nullable=False),
    words("text"),
    words("changed_at"),
    words("changed_by"),
    words("comment"),
    UniqueConstraint("name", "version"),
)

# `family` is a service's name. `cause` is null for revision 1: only registered revisions are unique for each cause.
task_definitions = Table(
    "task_definitions",
    metadata,
    words("family", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("cause", Words),
    Column("body", Json(TaskDefinition), nullable=False),
    UniqueConstraint("family", "cause"),
)

services = Table(
    "services",
    metadata,
    words("name", primary_key=True),
    words("target"),
    Column("desired_count", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    words("at_risk"),
    words("at_risk_until"),
    words("deployed_by"),
    ForeignKeyConstraint(["name", "revision"], [task_definitions.c.family, task_definitions.c.revision]),
)

waivers = Table(
    "waivers",
    metadata,
    seq(),
    words("id", unique=True),
    Column("body", Json(Waiver), nullable=False),
    words("until"),
    words("revoked_at"),
    words("revoked_by"),
    words("announced_at"),
)
Index(None, waivers.c.revoked_at, waivers.c.until)

vex_documents = Table(
    "vex_documents",
    metadata,
    seq(),
    words("document", ForeignKey(documents.c.digest)),
    words("image"),
    words("format"),
    words("author"),
    words("signer"),
    words("added_at"),
    words("removed_at"),
    words("removed_by"),
    Column("envelopes", Json(tuple[str, ...]), nullable=False),
    Column("changes", Integer, nullable=False),
    UniqueConstraint("document", "image"),
)
# `changes` counts how often the row was written.
Index(None, vex_documents.c.image, vex_documents.c.removed_at)

# All statements of a document as canonical JSON, compressed: they are always read together.
vex_statements = Table(
    "vex_statements",
    metadata,
    words("document", ForeignKey(documents.c.digest), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
