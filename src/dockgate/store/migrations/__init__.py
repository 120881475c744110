"""Upgrade a database to the tables of this version.

Revisions are files in `versions/`, unchanged once released.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dockgate.shared.errors import ConflictError
from dockgate.store.engine import Database
from dockgate.store.statements import lock_migrations


def migrate(database: Database) -> None:
    """Run the missing revisions, all or none.

    ConflictError when a newer version of Dockgate has changed the tables, because going on would lose its data.
    """
    config = _config()
    revisions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with database.write() as connection:
        lock_migrations(connection)
        for present in MigrationContext.configure(connection).get_current_heads():
            if present not in revisions:
                raise ConflictError(
                    f"the tables in {database.name} are from a newer version of Dockgate (revision {present})",
                    "Install that version again, or give this one a folder of its own with DOCKGATE_DATA.",
                )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Raise ConflictError unless the tables are those of this version. Changes nothing."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with database.read() as connection:
        present = MigrationContext.configure(connection).get_current_heads()
    if present != (head,):
        raise ConflictError(
            f"the tables in {database.name} are not from this version of Dockgate",
            "Start this version's server on them once, with `dockgate up`, and stop it.",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
