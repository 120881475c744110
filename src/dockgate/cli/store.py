"""`dockgate store`: move a server's tables to another database."""

import click

from dockgate.cli.listing_output import format_option, print_json, print_table
from dockgate.cli.output import print_text
from dockgate.config import from_environment


@click.group()
def command() -> None:
    """Move the server's database."""


@command.command()
@click.option(
    "--to", "url", required=True, metavar="URL", help="The new database: postgresql+psycopg://USER@HOST/NAME."
)
@format_option
def copy(url: str, output_format: str) -> None:
    """Copy a stopped server's tables to an empty database.

    The command compares both row by row. Run it on the server's machine, as the server's user. It copies from Postgres
    if DOCKGATE_DATABASE_URL is set, otherwise from the SQLite file in DOCKGATE_DATA, which stays as it is. A row that
    differs undoes the copy. Work that was interrupted continues when a server starts on the new database.

    Keep a password out of the URL: use PGPASSWORD or ~/.pgpass. To go back, use --to sqlite:////PATH/dockgate.db.
    """
    from dockgate.server.daemon import lock_folder
    from dockgate.store.copy import copy_store, open_source, open_target

    settings = from_environment()
    with (
        lock_folder(settings.data / "run" / "lock"),
        open_source(settings.shared_data, settings.database_url) as source,
        open_target(url) as target,
    ):
        result = copy_store(source, target)
    if output_format == "json":
        print_json(
            {
                "store": result.store,
                "from": result.source,
                "to": result.target,
                "tables": dict(result.tables),
            }
        )
        return
    print_table(("TABLE", "ROWS"), [(name, str(count)) for name, count in result.tables.items()], "No tables.")
    print_text(f"Copied {sum(result.tables.values())} rows to {result.target}, and compared them: all are the same.")
    if target.is_sqlite:
        print_text(
            "  Have the file as dockgate.db in DOCKGATE_DATA, unset DOCKGATE_DATABASE_URL, and run `dockgate up`."
        )
    else:
        print_text("  Set DOCKGATE_DATABASE_URL to the new database, and run `dockgate up`.")
