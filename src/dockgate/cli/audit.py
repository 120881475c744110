"""`dockgate audit`: the audit log."""

import re

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import Cell, format_option, make_sort_option, print_list

# Lines of a push's detail that the table shows; the JSON output has all.
MAX_CHANGES = 5


@click.command()
@click.option("--by", default="", metavar="PRINCIPAL", help="Show only the calls of this principal.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The maximum number of entries.")
@make_sort_option("-at", "at")
@format_option
def command(by: str, limit: int, sort: str, output_format: str) -> None:
    """List every changing call, including refused ones."""
    answer = Client().get_all("audit", maximum=limit, sort=sort, **({"by": by} if by else {}))
    rows: list[tuple[Cell, ...]] = []
    for entry in answer:
        status: Cell = "no response", "red"
        if entry["status"]:
            status = str(entry["status"]), "" if 200 <= entry["status"] < 300 else "red"
        call = entry["call"].partition(" ")[0] + " " + entry["subject"]
        rows.append((times.format_time(entry["at"]), entry["who"], entry["token"], call, status))
        # A push's detail: the references that it changed, with abbreviated commit ids.
        changes = re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", entry.get("detail") or "").splitlines()
        omission = [f"and {len(changes) - MAX_CHANGES} more"] if len(changes) > MAX_CHANGES else []
        rows += [("", "", "", f"  {change}", "") for change in (*changes[:MAX_CHANGES], *omission)]
    print_list(answer, output_format, ("WHEN", "WHO", "TOKEN", "CALL", "STATUS"), rows, "No entries yet.")
