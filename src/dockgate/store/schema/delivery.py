"""The tables of repositories, pipelines and their executions, approvals, services and fixes."""

from sqlalchemy import Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, UniqueConstraint

from dockgate.delivery.fixes import FixDetails, FixKind, FixState
from dockgate.delivery.model import ApprovalState, Approvers, FixAction, Pipeline, RunState
from dockgate.delivery.service_model import TaskDefinition
from dockgate.gate.model import Status
from dockgate.store.columns import EnumText, Json, Key, SafeText
from dockgate.store.schema.base import metadata, optional, sequence, text
from dockgate.store.schema.identity import principals

repositories = Table("repositories", metadata, text("name", primary_key=True), text("created_at"))

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
    optional("requested_by"),
    Column("approvers", Json(Approvers)),
    Column("committers", Json(tuple[str, ...]), nullable=False),
)
Index(None, approvals.c.image, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.expires_at)

# Votes are kept when their approval is deleted.
votes = Table(
    "votes",
    metadata,
    sequence(),
    text("approval"),
    text("who", ForeignKey(principals.c.name)),
    Column("yes", Boolean, nullable=False),
    text("reason"),
    text("at"),
    UniqueConstraint("approval", "who"),
)

# Approved images and their verdicts as they were announced last (`records.FollowedImage`).
followed_images = Table(
    "followed_images",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    text("policy", primary_key=True),
    Column("status", EnumText(Status), nullable=False),
    text("verdict"),
    text("changed_at"),
    Column("changes", Integer, nullable=False),
    Column("renew_at", SafeText),
    Column("unwatched_at", SafeText),
)

# Where the changes of their verdicts are sent: the callbacks of their approvals.
followed_callbacks = Table(
    "followed_callbacks",
    metadata,
    text("approval", primary_key=True),
    text("image"),
    text("repository"),
    text("policy"),
    text("url"),
    text("secret"),
)
Index(None, followed_callbacks.c.image)

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

rollouts = Table(
    "rollouts",
    metadata,
    text("service", ForeignKey(services.c.name), primary_key=True),
    Column("number", Integer, primary_key=True),
    text("target"),
    Column("desired_count", Integer, nullable=False),
    Column("definition", Json(TaskDefinition), nullable=False),
    Column("state", EnumText(RunState), nullable=False),
    optional("reason"),
    Column("revision", Integer),
    text("started_at"),
    text("started_by"),
    optional("finished_at"),
)
Index(None, rollouts.c.state)

service_events = Table(
    "service_events",
    metadata,
    sequence(),
    text("key", unique=True),
    text("service", ForeignKey(services.c.name)),
    text("at"),
    text("message"),
)
Index(None, service_events.c.service, service_events.c.seq)

fixes = Table(
    "fixes",
    metadata,
    text("id", primary_key=True),
    text("pipeline"),
    text("image"),
    text("repository"),
    Column("kind", EnumText(FixKind), nullable=False),
    Column("action", EnumText(FixAction), nullable=False),
    Column("details", Json(FixDetails), nullable=False),
    text("source"),
    text("parent"),
    text("created_at"),
    Column("state", EnumText(FixState), nullable=False),
    Column("branch", SafeText),
    Column("commit", SafeText),
    Column("execution", SafeText),
    Column("reason", SafeText),
    Column("ended_at", SafeText),
)
Index(None, fixes.c.pipeline, fixes.c.created_at)
