"""`dockgate down`: stop the server."""

import click

from dockgate.cli.output import echo
from dockgate.config import from_environment


@click.command()
@click.option("--purge", is_flag=True, help="Also stop all deployed tasks, and delete all data.")
def command(purge: bool) -> None:
    """Stop the server on this machine.

    Its data is in DOCKGATE_DATA. Deployed tasks keep running, unless --purge is given.
    """
    from dockgate.server import daemon

    settings = from_environment()
    has_run = daemon.stop(settings, purge)
    echo("Stopped." if has_run else f"No server was running in {settings.data}.")
    if purge:
        echo("Deployed tasks and all data are deleted.")
    elif has_run:
        echo("Deployed tasks keep running. `dockgate up` manages them again.")
