"""The tables of the fleet index, for the revision that creates them."""

import sqlalchemy as sa
from alembic import op

_SEVERITIES = ("critical", "high", "medium", "low", "informational", "untriaged")


def create() -> None:
    """Create the tables of `store.schema_fleet`."""
    op.create_table("fleet_state", *_text("name", "value"), sa.PrimaryKeyConstraint("name"))
    _components()
    _findings()
    _images()
    op.create_table(
        "fleet_verdicts",
        *_text("policy"),
        *_integer("image"),
        *_text("status"),
        *_integer(*_SEVERITIES),
        sa.Column("reason", sa.Text),
        *_text("since"),
        sa.Column("next_at", sa.Text),
        sa.Column("cannot_judge_since", sa.Text),
        sa.PrimaryKeyConstraint("policy", "image"),
        sa.ForeignKeyConstraint(["image"], ["fleet_images.id"]),
        postgresql_with={"fillfactor": 50},
    )
    _index("fleet_verdicts", "image")


def _components() -> None:
    components = op.create_table(
        "fleet_components",
        *_integer("id"),
        *_text("key", "ecosystem", "name", "version", "purl", "source_name", "source_version", "module", "vendor"),
        *_boolean("matched"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    _index("fleet_components", "source_name", "ecosystem")
    _index("fleet_components", "name")
    _index("fleet_components", "ecosystem")
    unmatched = ~components.c.matched
    op.create_index(
        "ix_fleet_components_unmatched",
        "fleet_components",
        ["id"],
        sqlite_where=unmatched,
        postgresql_where=unmatched,
    )
    op.create_table(
        "fleet_bundles",
        *_integer("id"),
        *_text("digest"),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "fleet_bundle_components",
        *_keys("component", "bundle"),
        *_boolean("owned"),
        sa.Column("n", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("component", "bundle", "owned"),
        sqlite_with_rowid=False,
    )


def _findings() -> None:
    op.create_table(
        "fleet_vulnerabilities",
        *_integer("id"),
        *_text("name", "aliases", "exploited", "due"),
        *_float("epss", "percentile"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", "aliases"),
    )
    op.create_table(
        "fleet_aliases",
        *_text("alias"),
        *_keys("vulnerability"),
        sa.PrimaryKeyConstraint("alias", "vulnerability"),
    )
    op.create_table(
        "fleet_findings",
        *_keys("component", "vulnerability"),
        *_text("severity", "source"),
        *_float("score"),
        *_text("vector", "fixed", "note"),
        *_boolean("disputed"),
        *_text("published", "fixed_at", "opened"),
        sa.PrimaryKeyConstraint("component", "vulnerability"),
        *_of_finding(),
    )
    _index("fleet_findings", "vulnerability")
    op.create_table(
        "fleet_past_findings",
        *_keys("component", "vulnerability"),
        *_text("opened", "closed", "why", "severity", "fixed"),
        sa.PrimaryKeyConstraint("component", "vulnerability", "opened"),
        *_of_finding(),
    )
    _index("fleet_past_findings", "vulnerability")
    op.create_table(
        "fleet_doubts",
        *_keys("component"),
        sa.Column("position", sa.SmallInteger, nullable=False, autoincrement=False),
        *_text("kind", "reason", "ids"),
        sa.PrimaryKeyConstraint("component", "position"),
        sa.ForeignKeyConstraint(["component"], ["fleet_components.id"]),
    )


def _images() -> None:
    op.create_table(
        "fleet_images",
        *_integer("id"),
        *_text("digest", "repository", "inventories", "scanner", "seen_at", "scanned_at"),
        sa.Column("gone_at", sa.Text),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    platforms = op.create_table(
        "fleet_platforms",
        *_keys("image"),
        sa.Column("position", sa.SmallInteger, nullable=False, autoincrement=False),
        *_text("platform"),
        *_integer("unread", "packages"),
        *_text("manifest"),
        *_integer("base_layers"),
        sa.Column("facts", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("image", "position"),
        sa.ForeignKeyConstraint(["image"], ["fleet_images.id"]),
    )
    has_unread = platforms.c.unread > 0
    op.create_index(
        "ix_fleet_platforms_unread",
        "fleet_platforms",
        ["image"],
        sqlite_where=has_unread,
        postgresql_where=has_unread,
    )
    op.create_table(
        "fleet_image_bundles",
        *_keys("image"),
        sa.Column("platform", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("position", sa.SmallInteger, nullable=False, autoincrement=False),
        *_integer("bundle"),
        *_text("layer"),
        *_boolean("base"),
        sa.PrimaryKeyConstraint("image", "platform", "position"),
        sa.ForeignKeyConstraint(["image"], ["fleet_images.id"]),
        sa.ForeignKeyConstraint(["bundle"], ["fleet_bundles.id"]),
        sqlite_with_rowid=False,
    )
    _index("fleet_image_bundles", "bundle", "image")
    op.create_table(
        "fleet_tags",
        *_integer("id"),
        *_text("repository", "tag", "digest", "since", "pushed_at"),
        sa.Column("until", sa.Text),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("repository", "tag", "digest", "since"),
    )
    _index("fleet_tags", "digest")
    _index("fleet_tags", "pushed_at", "id")


def _of_finding() -> tuple[sa.ForeignKeyConstraint, sa.ForeignKeyConstraint]:
    return (
        sa.ForeignKeyConstraint(["component"], ["fleet_components.id"]),
        sa.ForeignKeyConstraint(["vulnerability"], ["fleet_vulnerabilities.id"]),
    )


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _integer(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False) for name in names]


def _keys(*names: str) -> list[sa.Column[int]]:
    """Keys that refer to other rows: the database does not number them."""
    return [sa.Column(name, sa.Integer, nullable=False, autoincrement=False) for name in names]


def _float(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Float, nullable=False) for name in names]


def _boolean(*names: str) -> list[sa.Column[bool]]:
    return [sa.Column(name, sa.Boolean, nullable=False) for name in names]


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
