"""`dockgate scan`: list packages and vulnerabilities of an image."""

from pathlib import Path

import click

from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.image_argument import ImageArgument, add_image_argument
from dockgate.cli.options import allow_unread_option, database_option
from dockgate.cli.report_options import Display, Output, add_display_options, scan_output_options, write_report
from dockgate.config import from_environment


@click.command()
@add_image_argument()
@database_option
@allow_unread_option
@add_display_options
@scan_output_options
@click.pass_context
def command(
    context: click.Context,
    argument: ImageArgument,
    database: Path | None,
    allow_unread: bool,
    outputs: tuple[Output, ...],
    display: Display,
) -> None:
    """List the packages and vulnerabilities of IMAGE.

    A scan applies no policy. Exits 0 when the whole image was read, 3 when part of it could not be read.
    """
    from dockgate.services.images import image_inventory
    from dockgate.vulnerabilities.database.database import Database

    settings = from_environment()
    with Database.open(database or settings.advisories) as advisories:
        scanned_image = argument.scan(settings, is_quiet=display.is_quiet)
        report = image_inventory.look_up(scanned_image, advisories)
    write_report(report, outputs, display)
    if any(inventory.unread for inventory in scanned_image.inventories) and not allow_unread:
        context.exit(ExitCode.UNDETERMINED)
