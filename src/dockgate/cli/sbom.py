"""`dockgate sbom`: write a software bill of materials."""

import click

from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.image_argument import ImageArgument, add_image_argument
from dockgate.cli.options import allow_unread_option
from dockgate.cli.report_options import Output, inventory_output_options, write_report
from dockgate.config import from_environment


@click.command()
@add_image_argument()
@allow_unread_option
@inventory_output_options
@click.pass_context
def command(context: click.Context, argument: ImageArgument, allow_unread: bool, outputs: tuple[Output, ...]) -> None:
    """Write a bill of materials (SBOM) of IMAGE.

    It includes what could not be read. The command needs no advisory database. Exits 0 when the whole image was read, 3
    when part of it could not be read.
    """
    from dockgate.reports import InventoryReport

    scanned_image = argument.scan(from_environment())
    write_report(InventoryReport(scanned_image.reference, scanned_image.digest, scanned_image.inventories), outputs)
    if any(inventory.unread for inventory in scanned_image.inventories) and not allow_unread:
        context.exit(ExitCode.UNDETERMINED)
