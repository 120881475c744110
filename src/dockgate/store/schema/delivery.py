"""The tables of repositories, pipelines and their executions, approvals, services and fixes."""

from sqlalchemy import Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, UniqueConstraint

from dockgate.delivery.fixes import FixDetails, FixKind, FixState
from dockgate.delivery.model import ApprovalId, ApprovalState, Approvers, ExecutionId, FixAction, Pipeline, RunState
from dockgate.delivery.service_model import TaskDefinition
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store.columns import EnumText, Json, Key, SafeText, TextOrEmpty, TypedText
from dockgate.store.schema.base import (
    define_optional_text,
    define_sequence,
    define_text,
    define_text_or_empty,
    define_typed_text,
    metadata,
)
from dockgate.store.schema.identity import principals

repositories = Table("repositories", metadata, define_text("name", primary_key=True), define_text("created_at"))

# Reference updates, asked for and done, by whom.
pushes = Table(
    "pushes",
    metadata,
    define_sequence(),
    define_text("push"),
    define_text("repository"),
    define_text("ref"),
    define_text("old"),
    define_text("new"),
    define_text("principal"),
    define_text("email"),
    define_text("token"),
    define_text("at"),
    Column("is_accepted", Boolean, nullable=False),
    UniqueConstraint("push", "ref"),
)
Index(None, pushes.c.repository, pushes.c.ref)
Index(None, pushes.c.repository, pushes.c.is_accepted)

# Which principal pushed which commit into a repository.
pushed_commits = Table(
    "pushed_commits",
    metadata,
    define_text("repository", primary_key=True),
    define_text("commit", primary_key=True),
    define_text("principal", primary_key=True),
    define_text("email"),
)
Index(None, pushed_commits.c.commit)

pipelines = Table(
    "pipelines",
    metadata,
    define_text("name", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", Json(Pipeline), nullable=False),
    define_text("created_at"),
    # As it was written, with comments; null where only the content is known.
    Column("text", SafeText),
    # A principal; null where it is not known.
    define_optional_text("created_by"),
)

# The image repositories that any version of any pipeline pushes its builds to.
built_repositories = Table("built_repositories", metadata, define_text("name", primary_key=True))

executions = Table(
    "executions",
    metadata,
    define_typed_text("id", ExecutionId, primary_key=True),
    define_text("pipeline"),
    Column("number", Integer, nullable=False),
    Column("pipeline_version", Integer, nullable=False),
    Column("state", EnumText(RunState), nullable=False),
    Column("trigger", Json(dict[str, str]), nullable=False),
    define_text("cause"),
    define_optional_text("reason"),
    define_text("started_at"),
    define_optional_text("finished_at"),
    UniqueConstraint("pipeline", "number"),
    UniqueConstraint("pipeline", "cause"),
    ForeignKeyConstraint(["pipeline", "pipeline_version"], [pipelines.c.name, pipelines.c.version]),
)
Index(None, executions.c.state)
Index(None, executions.c.cause)

action_runs = Table(
    "action_runs",
    metadata,
    define_sequence(),
    Column("key", Key, unique=True, nullable=False),
    define_typed_text("execution", ExecutionId, ForeignKey(executions.c.id)),
    Column("state", EnumText(RunState), nullable=False),
    define_optional_text("reason"),
    Column("variables", Json(dict[str, str]), nullable=False),
    define_optional_text("artifact"),
    define_text("started_at"),
    define_optional_text("finished_at"),
)
Index(None, action_runs.c.execution, action_runs.c.seq)

# The commits that source actions fetched. `words` is the beginning of the message as it is compared.
source_commits = Table(
    "source_commits",
    metadata,
    define_sequence(),
    define_typed_text("execution", ExecutionId, ForeignKey(executions.c.id)),
    define_text("repository"),
    define_text("commit"),
    define_text("subject"),
    define_text("words"),
    UniqueConstraint("execution", "repository", "commit"),
)
Index(None, source_commits.c.commit)

approvals = Table(
    "approvals",
    metadata,
    define_sequence(),
    define_typed_text("id", ApprovalId, unique=True),
    define_text("token"),
    define_text("image"),
    define_text("repository"),
    define_typed_text("policy", PolicyReference),
    define_text("custom_data"),
    define_text("created_at"),
    define_text("expires_at"),
    Column("state", EnumText(ApprovalState), nullable=False),
    define_text_or_empty("summary"),
    define_optional_text("verdict"),
    define_optional_text("decided_by"),
    define_optional_text("settled_at"),
    define_optional_text("reference"),
    define_optional_text("pipeline"),
    define_optional_text("service"),
    define_optional_text("requested_by"),
    Column("approvers", Json(Approvers)),
    Column("committers", Json(tuple[str, ...]), nullable=False),
    define_optional_text("contributors_unknown"),
)
Index(None, approvals.c.image, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.seq)
Index(None, approvals.c.state, approvals.c.expires_at)

# Votes are kept when their approval is deleted.
votes = Table(
    "votes",
    metadata,
    define_sequence(),
    define_typed_text("approval", ApprovalId),
    define_text("who", ForeignKey(principals.c.name)),
    Column("is_yes", Boolean, nullable=False),
    define_text("reason"),
    define_text("at"),
    UniqueConstraint("approval", "who"),
)

# Approved images and their present verdicts (`records.FollowedImage`).
followed_images = Table(
    "followed_images",
    metadata,
    define_text("image", primary_key=True),
    define_text("repository", primary_key=True),
    define_typed_text("policy", PolicyReference, primary_key=True),
    Column("status", EnumText(Status), nullable=False),
    define_text("verdict"),
    define_text_or_empty("summary"),
    define_text("changed_at"),
    Column("changes", Integer, nullable=False),
    Column("renew_at", SafeText),
    Column("unwatched_at", SafeText),
)

# Where the changes of their verdicts are sent: the callbacks of their approvals. `status` is the one that they
# were last notified of: by one of the `messages`, or by the answer to the approval.
followed_callbacks = Table(
    "followed_callbacks",
    metadata,
    define_typed_text("approval", ApprovalId, primary_key=True),
    define_text("image"),
    define_text("repository"),
    define_typed_text("policy", PolicyReference),
    define_text("receiver"),
    define_text("callback"),
    Column("status", EnumText(Status), nullable=False),
    Column("messages", Integer, nullable=False),
)
Index(None, followed_callbacks.c.image)

# `family` is a service's name. `cause` is null for revision 1: only registered revisions are unique for each cause.
task_definitions = Table(
    "task_definitions",
    metadata,
    define_text("family", primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("cause", SafeText),
    Column("body", Json(TaskDefinition), nullable=False),
    UniqueConstraint("family", "cause"),
)

services = Table(
    "services",
    metadata,
    define_text("name", primary_key=True),
    define_text("target"),
    Column("desired_count", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    define_optional_text("at_risk"),
    define_optional_text("at_risk_until"),
    define_optional_text("cannot_judge"),
    Column("deployed_by", TextOrEmpty(ExecutionId), nullable=False),
    ForeignKeyConstraint(["name", "revision"], [task_definitions.c.family, task_definitions.c.revision]),
)

rollouts = Table(
    "rollouts",
    metadata,
    define_text("service", ForeignKey(services.c.name), primary_key=True),
    Column("number", Integer, primary_key=True),
    define_text("target"),
    Column("desired_count", Integer, nullable=False),
    Column("definition", Json(TaskDefinition), nullable=False),
    Column("state", EnumText(RunState), nullable=False),
    define_optional_text("reason"),
    Column("revision", Integer),
    define_text("started_at"),
    define_text("started_by"),
    define_optional_text("finished_at"),
    Column("is_restart", Boolean, nullable=False),
)
Index(None, rollouts.c.state)

service_events = Table(
    "service_events",
    metadata,
    define_sequence(),
    define_text("key", unique=True),
    define_text("service", ForeignKey(services.c.name)),
    define_text("at"),
    define_text("message"),
)
Index(None, service_events.c.service, service_events.c.seq)

fixes = Table(
    "fixes",
    metadata,
    define_text("id", primary_key=True),
    define_text("pipeline"),
    define_text("image"),
    define_text("repository"),
    Column("kind", EnumText(FixKind), nullable=False),
    Column("action", EnumText(FixAction), nullable=False),
    Column("details", Json(FixDetails), nullable=False),
    define_text("source"),
    define_text("parent"),
    define_text("created_at"),
    Column("state", EnumText(FixState), nullable=False),
    Column("branch", SafeText),
    Column("commit", SafeText),
    Column("execution", TypedText(ExecutionId)),
    Column("reason", SafeText),
    Column("ended_at", SafeText),
)
Index(None, fixes.c.pipeline, fixes.c.created_at)
