"""Upgrade a database to the tables of this version.

Revisions are files in `versions/`, named `revision_ID.py` in their order, unchanged once released.
"""

import logging
from functools import cache
from hashlib import sha256
from pathlib import Path

from sqlalchemy import UniqueConstraint, inspect, text

from dockgate.shared.errors import ConflictError
from dockgate.store.engine import Database
from dockgate.store.schema.base import metadata
from dockgate.store.statements import lock_migrations

# The revision of what is not released, whose tables may still change.
_UNRELEASED_REVISION = "0001"

_REVISIONS = text("SELECT version_num FROM alembic_version")

_log = logging.getLogger(__name__)


def migrate(database: Database) -> None:
    """Run the missing revisions, all or none.

    ConflictError when the tables are those of another version of Dockgate, because going on would lose its data.
    """
    if is_current(database):
        return
    from alembic import command  # a twentieth of a start
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    revisions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with database.write() as connection:
        lock_migrations(connection)
        present_revisions = MigrationContext.configure(connection).get_current_heads()
        for present_revision in present_revisions:
            if present_revision not in revisions:
                raise ConflictError(
                    f"the tables in {database.name} are from another version of Dockgate (revision {present_revision})",
                    "Install that version again, or give this one a folder of its own with DOCKGATE_DATA.",
                )
        if present_revisions:
            _log.info("upgrading the tables in %s from revision %s", database.name, ", ".join(present_revisions))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Raise ConflictError unless the tables are those of this version. Changes nothing."""
    if not is_current(database):
        raise ConflictError(
            f"the tables in {database.name} are not from this version of Dockgate",
            "Start this version's server on them once, with `dockgate up`, and stop it.",
        )


def has_tables(database: Database) -> bool:
    """Return whether any revision has run."""
    with database.read() as connection:
        return inspect(connection).has_table("alembic_version")


def is_current(database: Database) -> bool:
    """Return whether the last revision has run."""
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        revisions = connection.scalars(_REVISIONS).all()
    return list(revisions) == [get_head()]


@cache
def get_head() -> str:
    """The id of the last revision. Before the first release, it ends with a digest of the tables."""
    last_file = max(file.stem for file in (Path(__file__).parent / "versions").glob("revision_*.py"))
    revision = last_file.removeprefix("revision_")
    return f"{revision}_{_compute_tables_digest()}" if revision == _UNRELEASED_REVISION else revision


def _compute_tables_digest() -> str:
    """Eight hexadecimal digits, which differ when a table, column, key or index is another one."""
    lines = []
    for table in metadata.sorted_tables:
        columns = [(column.name, type(column.type).__name__, column.nullable) for column in table.columns]
        unique_columns = [item.columns.keys() for item in table.constraints if isinstance(item, UniqueConstraint)]
        indexes = [(index.name, index.columns.keys(), index.unique) for index in table.indexes]
        keys = table.primary_key.columns.keys(), sorted(unique_columns), sorted(indexes, key=str)
        references = sorted(f"{key.parent.name} {key.target_fullname}" for key in table.foreign_keys)
        lines.append(f"{table.name} {columns} {keys} {references}")
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:8]
