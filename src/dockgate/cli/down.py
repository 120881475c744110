"""`dockgate down`: the end of `dockgate up`."""

import click

from dockgate.config import from_environment


@click.command()
@click.option("--purge", is_flag=True, help="Also stop what it deployed, and delete all its data.")
def command(purge: bool) -> None:
    """Stop the server of DOCKGATE_DATA. What it deployed runs on, unless --purge."""
    from dockgate.bootstrap import background

    background.stop(from_environment(), purge)
