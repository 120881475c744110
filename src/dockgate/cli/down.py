"""`dockgate down`: the end of `dockgate up`."""

import click

from dockgate.cli.output import echo
from dockgate.config import from_environment


@click.command()
@click.option("--purge", is_flag=True, help="Also stop what it deployed, and delete all its data.")
def command(purge: bool) -> None:
    """Stop the server of DOCKGATE_DATA. What it deployed runs on, unless --purge."""
    from dockgate.server import background

    settings = from_environment()
    has_run = background.stop(settings, purge)
    echo("Stopped." if has_run else f"No server ran on {settings.data}.")
    if purge:
        echo("What it deployed and its data are removed.")
    elif has_run:
        echo("What it deployed runs on: `dockgate up` takes care of it again.")
