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
    write(fetch(Client(), digest), outputs)


def fetch(client: Client, digest: str, reference: str = "") -> reports.GateReport:
    """The verdict of this digest, with the inventories that the server still has, as a report on `reference`."""
    verdict = understand(Verdict, client.get("verdicts", digest))
    inventories = []
    for one in verdict.inputs.inventories:
        try:
            inventories.append(understand(Inventory, client.get("documents", one)))
        except NotFoundError:
            continue
    return reports.GateReport(reference or verdict.image, verdict, tuple(inventories))
