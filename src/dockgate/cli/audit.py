"""`dockgate audit`: who did what."""

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing import as_json, form, now, table


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
    rows = [
        (
            times.at(one["at"], moment),
            one["who"],
            one["token"],
            one["call"].partition(" ")[0] + " " + one["subject"],
            (str(one["status"]), "" if 200 <= one["status"] < 300 else "red")
            if one["status"]
            else ("no answer", "red"),
        )
        for one in answer
    ]
    table(("WHEN", "WHO", "TOKEN", "CALL", "ANSWER"), rows, "Nothing yet.")
