"""`dockgate scan`: what an image holds and suffers, unjudged."""

from pathlib import Path

import click

from dockgate.cli.options import Output, image, outputs, progress, write
from dockgate.config import from_environment

UNDETERMINED = 3


@click.command()
@image
@click.option(
    "--platform",
    default="",
    metavar="OS/ARCH|all",
    help="Which platform of an index, or all of them.  [default: this machine's]",
)
@click.option("--allow-unread", is_flag=True, help="Exit 0 even where part of the image could not be read.")
@outputs
@click.pass_context
def command(
    context: click.Context,
    image: str,
    platform: str,
    database: Path | None,
    insecure: bool,
    ca_bundle: Path | None,
    allow_unread: bool,
    outputs: tuple[Output, ...],
) -> None:
    """List what IMAGE holds, what is wrong with it, what is unread.

    \b
    IMAGE is name:tag or name@sha256:... in a registry, oci:FOLDER[:TAG],
    oci-archive:FILE, docker-archive:FILE, or the path of such a folder or file.

    Nothing is judged: exits 0 when all of the image was read, 3 when part of it could not be.
    """
    from dockgate.bootstrap import scan

    settings = from_environment()
    with scan.advisories(database or settings.advisories) as advisories:
        with progress() as show:
            scanned = scan.scan(image, settings, platform=platform, insecure=insecure, ca_bundle=ca_bundle, report=show)
        report = scan.look_up(scanned, advisories)
    write(report, outputs)
    if any(inventory.unread for inventory in scanned.inventories) and not allow_unread:
        context.exit(UNDETERMINED)
