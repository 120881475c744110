"""`dockgate sbom`: what an image holds, and nothing else."""

import click

from dockgate.cli.images import Asked, image
from dockgate.cli.options import Output, bills, write
from dockgate.cli.scan import UNDETERMINED
from dockgate.config import from_environment


@click.command()
@image()
@click.option("--allow-unread", is_flag=True, help="Exit 0 even where part of the image could not be read.")
@bills
@click.pass_context
def command(context: click.Context, asked: Asked, allow_unread: bool, outputs: tuple[Output, ...]) -> None:
    """Write a bill of materials: what IMAGE holds, and what of it is unread.

    No advisory database is needed. Exits 0 when all of the image was read, 3 when part of it could not be.
    """
    from dockgate.services import scan

    scanned = asked.scan(from_environment())
    write(scan.bill(scanned), outputs)
    if any(inventory.unread for inventory in scanned.inventories) and not allow_unread:
        context.exit(UNDETERMINED)
