"""`dockgate audit`: the audit log."""

import re

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import Cell, current_time, format_option, print_json, print_table

# Lines of a push's detail that the table shows; the JSON output has all.
MAX_CHANGES = 5


@click.command()
@click.option("--by", default="", metavar="PRINCIPAL", help="Show only the calls of this principal.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The maximum number of entries."
)
@format_option
def command(by: str, limit: int, output_format: str) -> None:
    """List every changing call, refused ones too, newest first."""
    answer = Client().get("audit", limit=limit, **({"by": by} if by else {}))
    if output_format == "json":
        print_json(answer)
        return
    moment = current_time()
    rows: list[tuple[Cell, ...]] = []
    for entry in answer:
        status: Cell = "no response", "red"
        if entry["status"]:
            status = str(entry["status"]), "" if 200 <= entry["status"] < 300 else "red"
        call = entry["call"].partition(" ")[0] + " " + entry["subject"]
        rows.append((times.at(entry["at"], moment), entry["who"], entry["token"], call, status))
        rows += [("", "", "", f"  {change}", "") for change in _changes(entry.get("detail", ""))]
    print_table(("WHEN", "WHO", "TOKEN", "CALL", "STATUS"), rows, "No entries yet.")


def _changes(detail: str) -> list[str]:
    """The references that a push changed, with abbreviated commit ids."""
    lines = detail.splitlines()
    shown = [re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", line) for line in lines[:MAX_CHANGES]]
    return [*shown, f"and {len(lines) - MAX_CHANGES} more"] if len(lines) > MAX_CHANGES else shown
