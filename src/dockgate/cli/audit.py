"""`dockgate audit`: the audit log."""

import re

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import Cell, format_option, make_sort_option, print_list, select_filters

# Lines of a push's detail that the table shows; the JSON output has all.
MAX_CHANGES = 5
RESULTS = ("Done", "Refused", "NoAnswer")


@click.command()
@click.option("--by", metavar="PRINCIPAL", help="Show only the calls of this principal.")
@click.option("--call", metavar="CALL", help="Show only calls of this kind, such as 'POST /api/v1/waivers'.")
@click.option("--result", type=click.Choice(RESULTS, case_sensitive=False), help="Show only calls with this result.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The maximum number of entries.")
@make_sort_option("-at", "at")
@format_option
def command(by: str | None, call: str | None, result: str | None, limit: int, sort: str, output_format: str) -> None:
    """List every changing call, including refused ones."""
    filters = select_filters(by=by, call=call, result=result)
    answer = Client().get_all("audit", maximum=limit, sort=sort, **filters)
    rows: list[tuple[Cell, ...]] = []
    for entry in answer:
        status: Cell = "no response", "red"
        if entry["status"]:
            status = str(entry["status"]), "" if 200 <= entry["status"] < 300 else "red"
        subject = entry["call"].partition(" ")[0] + " " + entry["subject"]
        rows.append((times.format_time(entry["at"]), entry["who"], entry["token"] or "", subject, status))
        # A push's detail: the references that it changed, with abbreviated commit ids.
        changes = re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", entry.get("detail") or "").splitlines()
        omission = [f"and {len(changes) - MAX_CHANGES} more"] if len(changes) > MAX_CHANGES else []
        rows += [("", "", "", f"  {change}", "") for change in (*changes[:MAX_CHANGES], *omission)]
    print_list(answer, output_format, ("WHEN", "WHO", "TOKEN", "CALL", "STATUS"), rows, "No entries yet.")
