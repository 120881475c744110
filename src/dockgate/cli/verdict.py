"""`dockgate verdict`: show recorded verdicts."""

from collections.abc import Iterator, Sequence

import click

from dockgate import reports
from dockgate.cli.client import Client, parse_answer
from dockgate.cli.digest_lookup import complete_verdict_digest
from dockgate.cli.report_options import Display, Output, add_display_options, verdict_output_options, write_report
from dockgate.gate.model import Verdict, VerdictCase
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import DeniedError, NotFoundError


@click.group()
def command() -> None:
    """Show recorded verdicts."""


@command.command()
@click.argument("digest")
@add_display_options
@verdict_output_options
def show(digest: str, outputs: tuple[Output, ...], display: Display) -> None:
    """Show a verdict in the form of `dockgate gate`.

    DIGEST is the verdict's digest or its first characters, see `dockgate image show`.
    """
    client = Client()
    digest = complete_verdict_digest(client, digest)
    write_report(fetch_report(client, digest, should_fetch_case=is_case_needed(outputs)), outputs, display)


def is_case_needed(outputs: Sequence[Output]) -> bool:
    """Return whether an output needs the verdict's case."""
    return any(output.form == "case" for output in outputs)


def fetch_report(
    client: Client, digest: str, reference: str | None = None, *, should_fetch_case: bool = False
) -> reports.GateReport:
    """A report on a verdict, with the inventories that the server still has and, optionally, its case."""
    verdict = parse_answer(Verdict, client.get("verdicts", digest))
    case = _get_case(client, digest) if should_fetch_case else None
    try:
        inventories = case.inventories if case else tuple(_iterate_inventories(client, verdict))
    except DeniedError:  # a limited token may read these documents only as part of the case
        inventories = _get_case(client, digest).inventories
    return reports.GateReport(reference or verdict.image, verdict, inventories, case)


def _get_case(client: Client, digest: str) -> VerdictCase:
    return parse_answer(VerdictCase, client.get("verdicts", digest, "case")["case"])


def _iterate_inventories(client: Client, verdict: Verdict) -> Iterator[Inventory]:
    for inventory in verdict.inputs.inventories:
        try:
            yield parse_answer(Inventory, client.get("documents", inventory))
        except NotFoundError:
            continue
