"""`dockgate gate`: the verdict on an image."""

from pathlib import Path

import click

from dockgate.cli.images import Asked, image
from dockgate.cli.options import Output, database, outputs, write
from dockgate.config import from_environment
from dockgate.core.verdict import Status

EXITS = {Status.APPROVED: 0, Status.REJECTED: 1, Status.UNDETERMINED: 3}


@click.command()
@image(
    platform="all",
    help="Judge one platform of an index alone; the verdict is then on that image, not on the index.",
)
@database
@click.option("--policy", default="default", show_default=True, metavar="FILE|NAME", help="What IMAGE is judged by.")
@outputs
@click.pass_context
def command(
    context: click.Context, asked: Asked, database: Path | None, policy: str, outputs: tuple[Output, ...]
) -> None:
    """Judge IMAGE by a policy. Exits 0 when it is approved, 1 rejected, 3 undetermined, 2 on a fault.

    The verdict on an index is the worst of its platforms.
    """
    from dockgate.bootstrap import gate, scan

    chosen = gate.policy_of(policy)
    settings = from_environment()
    with scan.advisories(database or settings.advisories) as advisories:
        scanned = asked.scan(settings)
        report = gate.judge(scanned, advisories, chosen)
    write(report, outputs)
    context.exit(EXITS[report.verdict.status])
