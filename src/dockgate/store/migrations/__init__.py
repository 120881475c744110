"""Upgrade a database to the tables of this version.

Revisions are files in `versions/`, named `revision_ID.py` in their order, unchanged once released.
"""

import logging
from pathlib import Path

from sqlalchemy import inspect, text

from dockgate.shared.errors import ConflictError
from dockgate.store.engine import Database
from dockgate.store.statements import lock_migrations

_log = logging.getLogger(__name__)


def migrate(database: Database) -> None:
    """Run the missing revisions, all or none.

    ConflictError when a newer version of Dockgate has changed the tables, because going on would lose its data.
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
                    f"the tables in {database.name} are from a newer version of Dockgate (revision {present_revision})",
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
    head = max(file.stem for file in (Path(__file__).parent / "versions").glob("revision_*.py"))
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        revisions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    return [f"revision_{revision}" for revision in revisions] == [head]
