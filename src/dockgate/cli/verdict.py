"""`dockgate verdict`: what the gate said, looked up."""

import click

from dockgate.bootstrap import reports
from dockgate.cli.client import Client, understand
from dockgate.cli.options import Output, outputs, write
from dockgate.core.errors import NotFoundError
from dockgate.core.model import Inventory
from dockgate.core.verdict import Verdict


@click.group()
def command() -> None:
    """Verdicts that the server keeps."""


@command.command()
@click.argument("digest")
@outputs
def show(digest: str, outputs: tuple[Output, ...]) -> None:
    """One verdict, as `dockgate gate` shows it.

    DIGEST is the verdict's, as `dockgate image show` lists it.
    """
    client = Client()
    verdict = understand(Verdict, client.get("verdicts", digest))
    inventories = []
    for one in verdict.inputs.inventories:
        try:
            inventories.append(understand(Inventory, client.get("documents", one)))
        except NotFoundError:
            continue
    write(reports.GateReport(verdict.image, verdict, tuple(inventories)), outputs)
