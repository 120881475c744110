"""`dockgate verdict`: what the gate said, looked up."""

from collections.abc import Iterator, Sequence

import click

from dockgate.cli.client import Client, understand
from dockgate.cli.digests import verdict_digest
from dockgate.cli.options import Output, Shown, shown, verdict_outputs, write
from dockgate.gate.model import Verdict, VerdictCase
from dockgate.scanner.model import Inventory
from dockgate.services import reports
from dockgate.shared.errors import DeniedError, NotFoundError


@click.group()
def command() -> None:
    """Verdicts that the server keeps."""


@command.command()
@click.argument("digest")
@shown
@verdict_outputs
def show(digest: str, outputs: tuple[Output, ...], shown: Shown) -> None:
    """One verdict, as `dockgate gate` shows it.

    DIGEST is the verdict's, or its first characters, as `dockgate image show` lists it.
    """
    client = Client()
    digest = verdict_digest(client, digest)
    write(fetch(client, digest, whole=whole(outputs)), outputs, shown)


def whole(outputs: Sequence[Output]) -> bool:
    """Whether the verdict's case is to be written, too."""
    return any(output.form == "case" for output in outputs)


def fetch(client: Client, digest: str, reference: str = "", *, whole: bool = False) -> reports.GateReport:
    """The verdict of this digest, with the inventories that the server still has, as a report on `reference`; if
    `whole`, with its case."""
    verdict = understand(Verdict, client.get("verdicts", digest))
    case = _case(client, digest) if whole else None
    try:
        inventories = case.inventories if case else tuple(_inventories(client, verdict))
    except DeniedError:  # a token that is for some images only is shown their documents within the case alone
        inventories = _case(client, digest).inventories
    return reports.GateReport(reference or verdict.image, verdict, inventories, case)


def _case(client: Client, digest: str) -> VerdictCase:
    return understand(VerdictCase, client.get("verdicts", digest, "case")["case"])


def _inventories(client: Client, verdict: Verdict) -> Iterator[Inventory]:
    for inventory in verdict.inputs.inventories:
        try:
            yield understand(Inventory, client.get("documents", inventory))
        except NotFoundError:
            continue
