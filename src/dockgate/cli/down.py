"""`dockgate down`: stop the server."""

import click

from dockgate.cli.output import print_text
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
    print_text("Stopped." if has_run else f"No server was running in {settings.data}.")
    if purge:
        print_text("Deployed tasks and all data are deleted.")
    elif has_run:
        print_text("Deployed tasks keep running. `dockgate up` manages them again.")
