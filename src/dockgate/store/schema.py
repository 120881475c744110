"""The tables. Columns have the names and meanings of the fields in `core` that they hold; "" stands for "not yet".

`seq` is the order in which rows came. A change here needs a revision in `migrations/versions`; a test compares the two.
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

from dockgate.core.approvals import ApprovalState, Approvers
from dockgate.core.deploy import TaskDefinition
from dockgate.core.events import EventKind
from dockgate.core.people import Permission, Role
from dockgate.core.pipeline import Pipeline, State
from dockgate.core.stores import ScanState
from dockgate.core.verdict import Settings, Status, Waiver
from dockgate.store.columns import Choice, Json, Key, Words

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _seq() -> Column[int]:
    return Column("seq", Integer, primary_key=True)


def _words(name: str, *more: ForeignKey, primary_key: bool = False, unique: bool = False) -> Column[str]:
    return Column(name, Words, *more, primary_key=primary_key, unique=unique, nullable=False)


identity = Table("identity", metadata, _words("id", primary_key=True))
"""One row: what these tables are called among all that there ever were."""

repositories = Table("repositories", metadata, _words("name", primary_key=True), _words("created_at"))

heads = Table(
    "heads",
    metadata,
    _words("repository", primary_key=True),
    _words("branch", primary_key=True),
    _words("head"),
    Column("moves", Integer, nullable=False),
)
"""What branches were last seen at, "" for a deleted one, and how often each has moved."""

events = Table(
    "events",
    metadata,
    _seq(),
    _words("id", unique=True),
    Column("kind", Choice(EventKind), nullable=False),
    Column("detail", Json(dict[str, str]), nullable=False),
    _words("at"),
    _words("handled_at"),
)
Index(None, events.c.handled_at, events.c.seq)

pipelines = Table(
    "pipelines",
    metadata,
    _words("name", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", Json(Pipeline), nullable=False),
    _words("created_at"),
)

executions = Table(
    "executions",
    metadata,
    _words("id", primary_key=True),
    _words("pipeline"),
    Column("number", Integer, nullable=False),
    Column("pipeline_version", Integer, nullable=False),
    Column("state", Choice(State), nullable=False),
    Column("trigger", Json(dict[str, str]), nullable=False),
    _words("cause"),
    _words("reason"),
    _words("started_at"),
    _words("finished_at"),
    UniqueConstraint("pipeline", "number"),
    UniqueConstraint("pipeline", "cause"),
    ForeignKeyConstraint(["pipeline", "pipeline_version"], [pipelines.c.name, pipelines.c.version]),
)
Index(None, executions.c.state)

action_runs = Table(
    "action_runs",
    metadata,
    _seq(),
    Column("key", Key, unique=True, nullable=False),
    _words("execution", ForeignKey(executions.c.id)),
    Column("state", Choice(State), nullable=False),
    _words("reason"),
    Column("variables", Json(dict[str, str]), nullable=False),
    _words("artifact"),
    _words("started_at"),
    _words("finished_at"),
)
Index(None, action_runs.c.execution, action_runs.c.seq)

approvals = Table(
    "approvals",
    metadata,
    _seq(),
    _words("id", unique=True),
    _words("token"),
    _words("image"),
    _words("repository"),
    _words("policy"),
    _words("custom_data"),
    _words("created_at"),
    _words("expires_at"),
    Column("state", Choice(ApprovalState), nullable=False),
    _words("summary"),
    _words("verdict"),
    _words("decided_by"),
    _words("settled_at"),
    _words("reference"),
    _words("pipeline"),
    _words("service"),
    _words("asked_by"),
    Column("approvers", Json(Approvers)),
    Column("committers", Json(tuple[str, ...]), nullable=False),
)
Index(None, approvals.c.image, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.expires_at)

deliveries = Table(
    "deliveries",
    metadata,
    _words("id", primary_key=True),
    _words("approval", unique=True),
    _words("receiver"),
    _words("url"),
    _words("secret"),
    _words("body"),
    _words("since"),
    Column("attempts", Integer, nullable=False),
    _words("next_at"),
    _words("delivered_at"),
    _words("last_error"),
)
"""Answers by callback: the outbox, written in the transaction that settles. `next_at` is "" when nothing is due."""
Index(None, deliveries.c.next_at)

notices = Table(
    "notices",
    metadata,
    _words("key", primary_key=True),
    _words("notifier", primary_key=True),
    _words("kind"),
    _words("title"),
    _words("body"),
    Column("detail", Json(dict[str, Any]), nullable=False),
    _words("since"),
    Column("attempts", Integer, nullable=False),
    _words("next_at"),
    _words("told_at"),
    _words("last_error"),
)
"""What each notifier is to be told: the outbox of notices. `next_at` is "" when nothing is due."""
Index(None, notices.c.notifier, notices.c.next_at)
Index(None, notices.c.since)

attestations = Table(
    "attestations",
    metadata,
    _words("verdict", primary_key=True),
    _words("image", primary_key=True),
    _words("repository", primary_key=True),
    _words("policy"),
    _words("key"),
    _words("attested_at"),
    Column("attempts", Integer, nullable=False),
    _words("error"),
    _words("next_at"),
)
Index(None, attestations.c.image)
Index(None, attestations.c.next_at)

pushed_images = Table(
    "pushed_images",
    metadata,
    _words("repository", primary_key=True),
    _words("tag", primary_key=True),
    _words("digest", primary_key=True),
    _words("pushed_at"),
)

scans = Table(
    "scans",
    metadata,
    _words("image", primary_key=True),
    _words("repository"),
    Column("state", Choice(ScanState), nullable=False),
    Column("number", Integer, nullable=False),
    _words("reason"),
    _words("requested_at"),
    _words("finished_at"),
)
Index(None, scans.c.state, scans.c.requested_at)

documents = Table(
    "documents",
    metadata,
    _words("digest", primary_key=True),
    _words("kind"),
    Column("body", LargeBinary, nullable=False),
)
"""Canonical bytes by their digest, deflated (RFC 1950). `kind` is the name of the dataclass that they encode."""

scan_inventories = Table(
    "scan_inventories",
    metadata,
    _words("image", ForeignKey(scans.c.image), primary_key=True),
    Column("position", Integer, primary_key=True),
    _words("digest", ForeignKey(documents.c.digest)),
)
"""The documents of a scan, one per platform, in the order they were handed in."""

reports = Table(
    "reports",
    metadata,
    _words("image", primary_key=True),
    _words("source", primary_key=True),
    _words("platform", primary_key=True),
    _words("by", primary_key=True),
    _words("digest", ForeignKey(documents.c.digest)),
    _words("made_at"),
    Column("vouched", Boolean, nullable=False),
    _words("added_at"),
)

verdicts = Table(
    "verdicts",
    metadata,
    _seq(),
    _words("cause", unique=True),
    _words("digest", ForeignKey(documents.c.digest)),
    _words("image"),
    _words("policy"),
    Column("status", Choice(Status), nullable=False),
    _words("summary"),
    _words("judged_at"),
)
Index(None, verdicts.c.image, verdicts.c.seq)

policies = Table(
    "policies",
    metadata,
    _seq(),
    _words("name"),
    Column("version", Integer, nullable=False),
    _words("digest"),
    Column("rules", Json(dict[str, tuple[Settings, ...]]), nullable=False),
    _words("text"),
    _words("changed_at"),
    _words("changed_by"),
    _words("comment"),
    UniqueConstraint("name", "version"),
)

task_definitions = Table(
    "task_definitions",
    metadata,
    _words("family", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("cause", Words),
    Column("body", Json(TaskDefinition), nullable=False),
    UniqueConstraint("family", "cause"),
)
"""`family` is a service's name. `cause` is null for what was put: only registered revisions are one for each cause."""

services = Table(
    "services",
    metadata,
    _words("name", primary_key=True),
    _words("target"),
    Column("desired_count", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    _words("at_risk"),
    _words("at_risk_until"),
    _words("deployed_by"),
    ForeignKeyConstraint(["name", "revision"], [task_definitions.c.family, task_definitions.c.revision]),
)

waivers = Table(
    "waivers",
    metadata,
    _seq(),
    _words("id", unique=True),
    Column("body", Json(Waiver), nullable=False),
    _words("until"),
    _words("revoked_at"),
    _words("revoked_by"),
    _words("announced_at"),
)
Index(None, waivers.c.revoked_at, waivers.c.until)

vex_documents = Table(
    "vex_documents",
    metadata,
    _seq(),
    _words("document", ForeignKey(documents.c.digest)),
    _words("image"),
    _words("format"),
    _words("author"),
    _words("signer"),
    _words("added_at"),
    _words("removed_at"),
    _words("removed_by"),
    Column("envelopes", Json(tuple[str, ...]), nullable=False),
    Column("changes", Integer, nullable=False),
    UniqueConstraint("document", "image"),
)
Index(None, vex_documents.c.image, vex_documents.c.removed_at)
"""`changes` counts how often the row was written."""

vex_statements = Table(
    "vex_statements",
    metadata,
    _words("document", ForeignKey(documents.c.digest), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""All statements of a document as canonical JSON, deflated: they are read together or not at all."""

principals = Table(
    "principals",
    metadata,
    _words("name", primary_key=True),
    _words("folded", unique=True),
    Column("roles", Json(tuple[Role, ...]), nullable=False),
    _words("email"),
    _words("created_at"),
    _words("disabled_at"),
)
"""`folded` is the name in small letters: nobody passes for somebody else by a capital."""

tokens = Table(
    "tokens",
    metadata,
    _seq(),
    _words("id", unique=True),
    _words("principal", ForeignKey(principals.c.name)),
    _words("digest"),
    Column("scopes", Json(tuple[Permission, ...]), nullable=False),
    Column("repositories", Json(tuple[str, ...]), nullable=False),
    Column("pipelines", Json(tuple[str, ...]), nullable=False),
    _words("created_at"),
    _words("expires_at"),
    _words("last_used_at"),
    _words("revoked_at"),
)
Index(None, tokens.c.principal, tokens.c.seq)

audit = Table(
    "audit",
    metadata,
    _seq(),
    _words("id", unique=True),
    _words("at"),
    _words("who"),
    _words("token"),
    _words("call"),
    _words("subject"),
    Column("status", Integer, nullable=False),
)
Index(None, audit.c.who, audit.c.seq)

votes = Table(
    "votes",
    metadata,
    _seq(),
    _words("approval"),
    _words("who", ForeignKey(principals.c.name)),
    Column("yes", Boolean, nullable=False),
    _words("reason"),
    _words("at"),
    UniqueConstraint("approval", "who"),
)
"""Kept when the approval is deleted: who approved what is on record."""
