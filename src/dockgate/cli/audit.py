"""`dockgate audit`: who did what."""

import re

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing import Cell, as_json, form, now, table

# Lines of a push's detail that the table shows; JSON has all.
MAX_CHANGES = 5


@click.command()
@click.option("--by", default="", metavar="PRINCIPAL", help="Theirs only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@form
def command(by: str, limit: int, form: str) -> None:
    """Every changing call, also the refused ones, the newest first."""
    answer = Client().get("audit", limit=limit, **({"by": by} if by else {}))
    if form == "json":
        as_json(answer)
        return
    moment = now()
    rows: list[tuple[Cell, ...]] = []
    for entry in answer:
        status: Cell = "no answer", "red"
        if entry["status"]:
            status = str(entry["status"]), "" if 200 <= entry["status"] < 300 else "red"
        call = entry["call"].partition(" ")[0] + " " + entry["subject"]
        rows.append((times.at(entry["at"], moment), entry["who"], entry["token"], call, status))
        rows += [("", "", "", f"  {change}", "") for change in _changes(entry.get("detail", ""))]
    table(("WHEN", "WHO", "TOKEN", "CALL", "ANSWER"), rows, "Nothing yet.")


def _changes(detail: str) -> list[str]:
    """The references that a push changed, with abbreviated ids."""
    lines = detail.splitlines()
    shown = [re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", line) for line in lines[:MAX_CHANGES]]
    return [*shown, f"and {len(lines) - MAX_CHANGES} more"] if len(lines) > MAX_CHANGES else shown
