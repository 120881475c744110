"""`dockgate scan`: what an image holds and suffers, unjudged."""

from pathlib import Path

import click

from dockgate.cli.images import Asked, image
from dockgate.cli.options import Output, Shown, database, outputs, shown, write
from dockgate.config import from_environment

UNDETERMINED = 3


@click.command()
@image()
@database
@click.option("--allow-unread", is_flag=True, help="Exit 0 even where part of the image could not be read.")
@shown
@outputs
@click.pass_context
def command(
    context: click.Context,
    asked: Asked,
    database: Path | None,
    allow_unread: bool,
    outputs: tuple[Output, ...],
    shown: Shown,
) -> None:
    """List what IMAGE holds, what is wrong with it, what is unread.

    Nothing is judged: exits 0 when all of the image was read, 3 when part of it could not be.
    """
    from dockgate.services import scan

    settings = from_environment()
    with scan.advisories(database or settings.advisories) as advisories:
        scanned = asked.scan(settings, is_quiet=shown.is_quiet)
        report = scan.look_up(scanned, advisories)
    write(report, outputs, shown)
    if any(inventory.unread for inventory in scanned.inventories) and not allow_unread:
        context.exit(UNDETERMINED)
