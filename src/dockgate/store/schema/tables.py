"""The tables, except those of the other modules of this folder.

Columns have the names and meanings of the fields that they hold; null means "not yet". `seq` is the order in which rows
were inserted. A change here needs a revision in `migrations/versions`; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
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

from dockgate.delivery.model import ApprovalState, Approvers, Pipeline, RunState
from dockgate.delivery.service_model import TaskDefinition
from dockgate.events.model import EventKind
from dockgate.gate.model import Settings, Status, Waiver
from dockgate.scanner.model import LayerOrigin
from dockgate.store.columns import EnumText, Json, Key, SafeText
from dockgate.store.records import OutboxKind, ReportScope, ScanState

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def sequence() -> Column[int]:
    """The column of the order in which rows were inserted."""
    return Column("seq", Integer, primary_key=True)


def text(name: str, *more: ForeignKey, primary_key: bool = False, unique: bool = False) -> Column[str]:
    """A required text column."""
    return Column(name, SafeText, *more, primary_key=primary_key, unique=unique, nullable=False)


def optional(name: str) -> Column[str]:
    """A text, or null."""
    return Column(name, SafeText, nullable=True)


# One row: the id of this store, which no other store has.
identity = Table("identity", metadata, text("id", primary_key=True))

repositories = Table("repositories", metadata, text("name", primary_key=True), text("created_at"))

# The recorded head of each branch, "" for a deleted one, and how often it has moved.
heads = Table(
    "heads",
    metadata,
    text("repository", primary_key=True),
    text("branch", primary_key=True),
    text("head"),
    Column("moves", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    sequence(),
    text("id", unique=True),
    Column("kind", EnumText(EventKind), nullable=False),
    Column("detail", Json(dict[str, str]), nullable=False),
    text("at"),
    optional("handled_at"),
)
Index(None, events.c.handled_at, events.c.seq)

pipelines = Table(
    "pipelines",
    metadata,
    text("name", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", Json(Pipeline), nullable=False),
    text("created_at"),
    # As it was written, with comments; null where only the content is known.
    Column("text", SafeText),
)

# The image repositories that any version of any pipeline pushes its builds to.
built_repositories = Table("built_repositories", metadata, text("name", primary_key=True))

executions = Table(
    "executions",
    metadata,
    text("id", primary_key=True),
    text("pipeline"),
    Column("number", Integer, nullable=False),
    Column("pipeline_version", Integer, nullable=False),
    Column("state", EnumText(RunState), nullable=False),
    Column("trigger", Json(dict[str, str]), nullable=False),
    text("cause"),
    optional("reason"),
    text("started_at"),
    optional("finished_at"),
    UniqueConstraint("pipeline", "number"),
    UniqueConstraint("pipeline", "cause"),
    ForeignKeyConstraint(["pipeline", "pipeline_version"], [pipelines.c.name, pipelines.c.version]),
)
Index(None, executions.c.state)
Index(None, executions.c.cause)

action_runs = Table(
    "action_runs",
    metadata,
    sequence(),
    Column("key", Key, unique=True, nullable=False),
    text("execution", ForeignKey(executions.c.id)),
    Column("state", EnumText(RunState), nullable=False),
    optional("reason"),
    Column("variables", Json(dict[str, str]), nullable=False),
    optional("artifact"),
    text("started_at"),
    optional("finished_at"),
)
Index(None, action_runs.c.execution, action_runs.c.seq)

approvals = Table(
    "approvals",
    metadata,
    sequence(),
    text("id", unique=True),
    text("token"),
    text("image"),
    text("repository"),
    text("policy"),
    text("custom_data"),
    text("created_at"),
    text("expires_at"),
    Column("state", EnumText(ApprovalState), nullable=False),
    text("summary"),
    optional("verdict"),
    optional("decided_by"),
    optional("settled_at"),
    optional("reference"),
    optional("pipeline"),
    optional("service"),
    optional("asked_by"),
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
    Column("kind", EnumText(OutboxKind), primary_key=True, nullable=False),
    text("key", primary_key=True),
    text("receiver", primary_key=True),
    Column("payload", Json(dict[str, Any]), nullable=False),
    Column("image", SafeText),
    Column("due_since", SafeText),
    Column("next_at", SafeText),
    Column("attempts", Integer, nullable=False),
    Column("done_at", SafeText),
    Column("result", SafeText),
    Column("last_error", SafeText),
    Column("claimed_by", SafeText),
    Column("subject", SafeText),
    Column("position", BigInteger),
)
Index(None, outbox.c.kind, outbox.c.next_at)
Index(None, outbox.c.kind, outbox.c.claimed_by)
Index(None, outbox.c.kind, outbox.c.due_since)
Index(None, outbox.c.image)
# Of entries that are sent in order.
Index(
    None,
    *(outbox.c.kind, outbox.c.receiver, outbox.c.subject, outbox.c.position),
    sqlite_where=outbox.c.subject.is_not(None),
    postgresql_where=outbox.c.subject.is_not(None),
)

built_statements = Table(
    "built_statements",
    metadata,
    text("build", primary_key=True),
    text("image"),
    text("repository"),
    text("envelope"),
    text("built_at"),
)
Index(None, built_statements.c.image)

# Provenance statements fetched from registries: a compressed JSON list of DSSE envelopes. Signatures are verified when
# a verdict is made, because the policy names the keys. Who copies an image elsewhere changes nothing of another
# repository.
fetched_statements = Table(
    "fetched_statements",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    text("fetched_at"),
    Column("fetch_error", SafeText, nullable=True),
    Column("envelopes", LargeBinary, nullable=False),
)

pushed_images = Table(
    "pushed_images",
    metadata,
    text("repository", primary_key=True),
    text("tag", primary_key=True),
    text("digest", primary_key=True),
    text("pushed_at"),
    optional("pushed_by"),
    # When the image was judged after its push; null until then, and again after a new scan.
    Column("judged_at", SafeText),
)
Index(None, pushed_images.c.digest)
Index(None, pushed_images.c.judged_at)

tag_moves = Table(
    "tag_moves",
    metadata,
    sequence(),
    text("id", unique=True),
    text("repository"),
    text("tag"),
    text("previous"),
    text("digest"),
    text("moved_at"),
    optional("pushed_by"),
)
Index(None, tag_moves.c.digest)
Index(None, tag_moves.c.previous)

scans = Table(
    "scans",
    metadata,
    text("image", primary_key=True),
    text("repository"),
    Column("state", EnumText(ScanState), nullable=False),
    Column("number", Integer, nullable=False),
    optional("reason"),
    text("requested_at"),
    optional("finished_at"),
    optional("scanner"),
)
Index(None, scans.c.state, scans.c.requested_at)

# Canonical bytes by their digest, deflated (RFC 1950). `kind` is the name of the dataclass that they encode.
documents = Table(
    "documents",
    metadata,
    text("digest", primary_key=True),
    text("kind"),
    Column("body", LargeBinary, nullable=False),
)

# The documents of a scan, one per platform, in the order of the scan.
scan_inventories = Table(
    "scan_inventories",
    metadata,
    text("image", ForeignKey(scans.c.image), primary_key=True),
    Column("position", Integer, primary_key=True),
    text("digest", ForeignKey(documents.c.digest)),
    # The digest of the platform's manifest: the image itself, or an image in an index.
    text("platform_image"),
    Column("layers", Json(tuple[LayerOrigin, ...]), nullable=False),
)
Index(None, scan_inventories.c.platform_image)

reports = Table(
    "reports",
    metadata,
    text("image", primary_key=True),
    text("source", primary_key=True),
    text("platform", primary_key=True),
    text("by", primary_key=True),
    text("digest", ForeignKey(documents.c.digest)),
    optional("made_at"),
    Column("vouched", Boolean, nullable=False),
    Column("scope", Json(ReportScope), nullable=False),
    text("added_at"),
)

verdicts = Table(
    "verdicts",
    metadata,
    sequence(),
    text("cause", unique=True),
    text("digest", ForeignKey(documents.c.digest)),
    text("image"),
    text("repository"),
    text("policy"),
    Column("status", EnumText(Status), nullable=False),
    text("summary"),
    optional("waived"),
    text("judged_at"),
)
Index(None, verdicts.c.image, verdicts.c.seq)

policies = Table(
    "policies",
    metadata,
    sequence(),
    text("name"),
    Column("version", Integer, nullable=False),
    text("digest"),
    Column("rules", Json(dict[str, tuple[Settings, ...]]), nullable=False),
    text("text"),
    text("changed_at"),
    text("changed_by"),
    optional("comment"),
    UniqueConstraint("name", "version"),
)

# `family` is a service's name. `cause` is null for revision 1: only registered revisions are unique for each cause.
task_definitions = Table(
    "task_definitions",
    metadata,
    text("family", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("cause", SafeText),
    Column("body", Json(TaskDefinition), nullable=False),
    UniqueConstraint("family", "cause"),
)

services = Table(
    "services",
    metadata,
    text("name", primary_key=True),
    text("target"),
    Column("desired_count", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    optional("at_risk"),
    optional("at_risk_until"),
    optional("cannot_judge"),
    text("deployed_by"),
    ForeignKeyConstraint(["name", "revision"], [task_definitions.c.family, task_definitions.c.revision]),
)

waivers = Table(
    "waivers",
    metadata,
    sequence(),
    text("id", unique=True),
    Column("body", Json(Waiver), nullable=False),
    optional("until"),
    optional("revoked_at"),
    optional("revoked_by"),
    optional("announced_at"),
)
Index(None, waivers.c.revoked_at, waivers.c.until)

vex_documents = Table(
    "vex_documents",
    metadata,
    sequence(),
    text("document", ForeignKey(documents.c.digest)),
    text("image"),
    text("format"),
    text("author"),
    text("signer"),
    text("added_at"),
    optional("removed_at"),
    optional("removed_by"),
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
    text("document", ForeignKey(documents.c.digest), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
