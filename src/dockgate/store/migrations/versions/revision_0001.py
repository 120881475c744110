"""Every table of the first version."""

import sqlalchemy as sa
from alembic import op

from dockgate.store.migrations import fleet_tables, retention_tables, rule_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    _repositories()
    _pipelines()
    _images()
    _policies()
    _services()
    _waivers()
    _people()
    _workers()
    fleet_tables.create()
    rule_tables.create()
    retention_tables.create()


def _repositories() -> None:
    op.create_table("identity", *_text("id"), sa.PrimaryKeyConstraint("id"))
    op.create_table("repositories", *_text("name", "created_at"), sa.PrimaryKeyConstraint("name"))
    op.create_table(
        "heads",
        *_text("repository", "branch", "head"),
        *_integer("moves"),
        sa.PrimaryKeyConstraint("repository", "branch"),
    )
    op.create_table(
        "pushes",
        *_integer("seq"),
        *_text("push", "repository", "ref", "old", "new", "principal", "email", "token", "at"),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("push", "ref"),
    )
    _index("pushes", "repository", "ref")
    _index("pushes", "repository", "accepted")
    op.create_table(
        "pushed_commits",
        *_text("repository", "commit", "principal", "email"),
        sa.PrimaryKeyConstraint("repository", "commit", "principal"),
    )
    op.create_table(
        "events",
        *_integer("seq"),
        *_text("id", "kind", "detail", "at", "handled_at"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    _index("events", "handled_at", "seq")
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "event_log",
        sa.Column("position", number, nullable=False),
        sa.Column("seq", number),
        *_text("id", "source", "detail_type", "subject", "at"),
        *_optional_text("repository", "pipeline"),
        *_text("body"),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    _index("event_log", "at")


def _pipelines() -> None:
    op.create_table(
        "pipelines",
        *_text("name"),
        *_integer("version"),
        *_text("body", "created_at"),
        sa.Column("text", sa.Text),
        sa.PrimaryKeyConstraint("name", "version"),
    )
    op.create_table("built_repositories", *_text("name"), sa.PrimaryKeyConstraint("name"))
    op.create_table(
        "executions",
        *_text("id", "pipeline"),
        *_integer("number", "pipeline_version"),
        *_text("state", "trigger", "cause", "reason", "started_at", "finished_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pipeline", "number"),
        sa.UniqueConstraint("pipeline", "cause"),
        sa.ForeignKeyConstraint(["pipeline", "pipeline_version"], ["pipelines.name", "pipelines.version"]),
    )
    _index("executions", "state")
    _index("executions", "cause")
    op.create_table(
        "action_runs",
        *_integer("seq"),
        *_text("key", "execution", "state", "reason", "variables", "artifact", "started_at", "finished_at"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("key"),
        sa.ForeignKeyConstraint(["execution"], ["executions.id"]),
    )
    _index("action_runs", "execution", "seq")
    op.create_table(
        "approvals",
        *_integer("seq"),
        *_text("id", "token", "image", "repository", "policy", "custom_data", "created_at", "expires_at"),
        *_text("state", "summary", "verdict", "decided_by", "settled_at"),
        *_text("reference", "pipeline", "service", "asked_by"),
        sa.Column("approvers", sa.Text),
        *_text("committers"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    _index("approvals", "image", "state", "seq")
    _index("approvals", "state", "seq")
    _index("approvals", "state", "expires_at")
    op.create_table(
        "outbox",
        *_text("kind", "key", "receiver", "payload"),
        *_optional_text("image", "due_since", "next_at"),
        *_integer("attempts"),
        *_optional_text("done_at", "result", "last_error", "claimed_by", "subject"),
        sa.Column("position", sa.BigInteger),
        sa.PrimaryKeyConstraint("kind", "key", "receiver"),
    )
    _index("outbox", "kind", "next_at")
    _index("outbox", "kind", "claimed_by")
    _index("outbox", "kind", "due_since")
    _index("outbox", "image")
    is_ordered = sa.text("subject IS NOT NULL")
    op.create_index(
        "ix_outbox_kind_receiver_subject_position",
        "outbox",
        ["kind", "receiver", "subject", "position"],
        sqlite_where=is_ordered,
        postgresql_where=is_ordered,
    )


def _images() -> None:
    op.create_table(
        "built_statements",
        *_text("build", "image", "repository", "envelope", "built_at"),
        sa.PrimaryKeyConstraint("build"),
    )
    _index("built_statements", "image")
    op.create_table(
        "fetched_statements",
        *_text("image", "fetched_at"),
        sa.Column("fetch_error", sa.Text, nullable=True),
        sa.Column("envelopes", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("image"),
    )
    op.create_table(
        "pushed_images",
        *_text("repository", "tag", "digest", "pushed_at", "pushed_by"),
        *_optional_text("judged_at"),
        sa.PrimaryKeyConstraint("repository", "tag", "digest"),
    )
    _index("pushed_images", "digest")
    _index("pushed_images", "judged_at")
    op.create_table(
        "followed_images",
        *_text("image", "repository", "policy", "status", "verdict", "changed_at"),
        *_integer("changes"),
        *_optional_text("renew_at"),
        sa.PrimaryKeyConstraint("image", "repository", "policy"),
    )
    op.create_table(
        "followed_callbacks",
        *_text("approval", "image", "repository", "policy", "url", "secret"),
        sa.PrimaryKeyConstraint("approval"),
    )
    _index("followed_callbacks", "image")
    op.create_table(
        "image_uses",
        *_text("image", "repository"),
        *_optional_text("pulled_at", "run_at"),
        sa.PrimaryKeyConstraint("image", "repository"),
    )
    op.create_table(
        "tag_moves",
        *_integer("seq"),
        *_text("id", "repository", "tag", "previous", "digest", "moved_at", "pushed_by"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    _index("tag_moves", "digest")
    _index("tag_moves", "previous")
    op.create_table(
        "scans",
        *_text("image", "repository", "state"),
        *_integer("number"),
        *_text("reason", "requested_at", "finished_at"),
        *_optional_text("scanner"),
        sa.PrimaryKeyConstraint("image"),
    )
    _index("scans", "state", "requested_at")
    op.create_table(
        "documents",
        *_text("digest", "kind"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "scan_inventories",
        *_text("image"),
        *_integer("position"),
        *_text("digest", "platform_image"),
        sa.PrimaryKeyConstraint("image", "position"),
        sa.ForeignKeyConstraint(["image"], ["scans.image"]),
        sa.ForeignKeyConstraint(["digest"], ["documents.digest"]),
    )
    _index("scan_inventories", "platform_image")
    op.create_table(
        "reports",
        *_text("image", "source", "platform", "by", "digest", "made_at"),
        sa.Column("vouched", sa.Boolean, nullable=False),
        *_text("added_at"),
        sa.PrimaryKeyConstraint("image", "source", "platform", "by"),
        sa.ForeignKeyConstraint(["digest"], ["documents.digest"]),
    )
    op.create_table(
        "verdicts",
        *_integer("seq"),
        *_text("cause", "digest", "image", "repository", "policy", "status", "summary", "waived", "judged_at"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("cause"),
        sa.ForeignKeyConstraint(["digest"], ["documents.digest"]),
    )
    _index("verdicts", "image", "seq")


def _policies() -> None:
    op.create_table(
        "policies",
        *_integer("seq"),
        *_text("name"),
        *_integer("version"),
        *_text("digest", "rules", "text", "changed_at", "changed_by", "comment"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("name", "version"),
    )
    op.create_table(
        "policy_assignments",
        *_text("name", "body", "changed_at", "changed_by"),
        sa.PrimaryKeyConstraint("name"),
    )


def _services() -> None:
    op.create_table(
        "task_definitions",
        *_text("family"),
        *_integer("revision"),
        sa.Column("cause", sa.Text),
        *_text("body"),
        sa.PrimaryKeyConstraint("family", "revision"),
        sa.UniqueConstraint("family", "cause"),
    )
    op.create_table(
        "services",
        *_text("name", "target"),
        *_integer("desired_count", "revision"),
        *_text("at_risk", "at_risk_until", "deployed_by"),
        *_optional_text("cannot_judge"),
        sa.PrimaryKeyConstraint("name"),
        sa.ForeignKeyConstraint(["name", "revision"], ["task_definitions.family", "task_definitions.revision"]),
    )
    op.create_table(
        "service_risks",
        *_text("service", "image", "summary", "began_at", "deadline"),
        *_optional_text("near_at", "passed_at", "accepted_since"),
        sa.PrimaryKeyConstraint("service"),
        sa.ForeignKeyConstraint(["service"], ["services.name"]),
    )
    op.create_table(
        "rollouts",
        *_text("service"),
        *_integer("number"),
        *_text("target"),
        *_integer("desired_count"),
        *_text("definition", "state", "reason"),
        sa.Column("revision", sa.Integer),
        *_text("started_at", "started_by", "finished_at"),
        sa.PrimaryKeyConstraint("service", "number"),
        sa.ForeignKeyConstraint(["service"], ["services.name"]),
    )
    _index("rollouts", "state")
    op.create_table(
        "service_events",
        *_integer("seq"),
        *_text("key", "service", "at", "message"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("key"),
        sa.ForeignKeyConstraint(["service"], ["services.name"]),
    )
    _index("service_events", "service", "seq")


def _waivers() -> None:
    op.create_table(
        "waivers",
        *_integer("seq"),
        *_text("id", "body", "until", "revoked_at", "revoked_by", "announced_at"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    _index("waivers", "revoked_at", "until")
    op.create_table(
        "vex_documents",
        *_integer("seq"),
        *_text("document", "image", "format", "author", "signer", "added_at", "removed_at", "removed_by", "envelopes"),
        *_integer("changes"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("document", "image"),
        sa.ForeignKeyConstraint(["document"], ["documents.digest"]),
    )
    _index("vex_documents", "image", "removed_at")
    op.create_table(
        "vex_statements",
        *_text("document"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("document"),
        sa.ForeignKeyConstraint(["document"], ["documents.digest"]),
    )


def _people() -> None:
    op.create_table(
        "principals",
        *_text("name", "folded", "roles", "email", "created_at", "disabled_at", "project_roles"),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("folded"),
    )
    op.create_table("first_admin_links", *_text("digest", "expires_at"), sa.PrimaryKeyConstraint("digest"))
    op.create_table(
        "identities",
        *_text("issuer", "subject", "principal"),
        sa.PrimaryKeyConstraint("issuer", "subject"),
        sa.ForeignKeyConstraint(["principal"], ["principals.name"]),
    )
    op.create_table(
        "tokens",
        *_integer("seq"),
        *_text("id", "principal", "digest", "scopes", "repositories", "pipelines"),
        *_text("created_at", "expires_at", "last_used_at", "revoked_at"),
        sa.Column("is_session", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.ForeignKeyConstraint(["principal"], ["principals.name"]),
    )
    _index("tokens", "principal", "seq")
    op.create_table(
        "sessions",
        *_text("digest", "token", "created_at", "seen_at", "ends_at"),
        *_optional_text("ended_at"),
        sa.PrimaryKeyConstraint("digest"),
        sa.ForeignKeyConstraint(["token"], ["tokens.id"]),
    )
    _index("sessions", "token")
    _index("sessions", "ends_at")
    op.create_table(
        "votes",
        *_integer("seq"),
        *_text("approval", "who"),
        sa.Column("yes", sa.Boolean, nullable=False),
        *_text("reason", "at"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("approval", "who"),
        sa.ForeignKeyConstraint(["who"], ["principals.name"]),
    )
    op.create_table(
        "audit",
        *_integer("seq"),
        *_text("id", "at", "who", "token", "call", "subject"),
        *_integer("status"),
        *_text("detail"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    _index("audit", "who", "seq")


def _workers() -> None:
    op.create_table(
        "workers",
        *_text("id", "node", "version", "queues", "labels", "state", "started_at", "seen_at"),
        *_integer("beats"),
        sa.PrimaryKeyConstraint("id"),
    )


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _optional_text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def _integer(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False) for name in names]


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
