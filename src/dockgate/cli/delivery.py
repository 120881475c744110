"""`dockgate delivery`: deliveries that failed, of every kind."""

from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import Cell, format_option, make_sort_option, print_answer, print_list, select_filters
from dockgate.shared.errors import UsageError
from dockgate.shared.wording import format_count

KINDS = ("webhook", "verdict-change", "attestation", "provenance", "event")
STATES = ("given-up", "retrying", "dismissed")


@click.group()
def command() -> None:
    """List deliveries that failed, send them again, and dismiss them.

    Deliveries are answers of approvals (webhook) and changed verdicts (verdict-change) to callbacks, attestations and
    provenance to registries, and events to targets. Attempts go on for a day; then a delivery is given up.
    """


@command.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="List only deliveries of this kind.")
@click.option("--state", type=click.Choice(STATES), help="List only deliveries in this state.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many to list.")
@make_sort_option("-due", "due")
@format_option
def list_deliveries(kind: str | None, state: str | None, limit: int, sort: str, output_format: str) -> None:
    """List deliveries whose last attempt failed. Dismissed ones are listed with --state dismissed only."""
    answer = Client().get_all("deliveries", maximum=limit, sort=sort, **select_filters(kind=kind, state=state))
    rows = (
        (
            entry["kind"],
            entry["receiver"],
            entry["key"],
            times.format_age(entry["due_since"]),
            str(entry["attempts"]),
            _format_next_attempt(entry),
            entry["error"],
        )
        for entry in answer
    )
    head = ("KIND", "RECEIVER", "KEY", "DUE", "ATTEMPTS", "NEXT ATTEMPT", "ERROR")
    print_list(answer, output_format, head, rows, "No delivery fails.")


def _format_next_attempt(delivery: dict[str, Any]) -> Cell:
    if delivery.get("dismissed_at"):
        return f"dismissed by {delivery['dismissed_by']}: {delivery['dismissal_reason']}"
    return times.format_time(delivery["next_at"]) if delivery["next_at"] else ("given up", "red")


@command.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("receiver")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Send all of them again.")
@format_option
def redeliver(kind: str, receiver: str, keys: tuple[str, ...], is_all: bool, output_format: str) -> None:
    """Send deliveries again that were given up.

    KIND, RECEIVER and KEY are those of `dockgate delivery list`. What contradicts a later verdict is not sent: with
    --all it is left out.
    """
    if bool(keys) == is_all:
        raise UsageError("name the deliveries to send again, or use --all", "`dockgate delivery list`.")
    body = {"kind": kind, "receiver": receiver, "keys": list(keys) or None}
    answer = Client().post("deliveries", "redeliver", body=body)
    print_answer(answer, output_format, f"{receiver}: sending {format_count(answer['count'], 'message')} again")


@command.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("receiver")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Dismiss all of them.")
@click.option("--reason", required=True, help="Why they are of no use any more, for the record.")
@format_option
def dismiss(kind: str, receiver: str, keys: tuple[str, ...], is_all: bool, reason: str, output_format: str) -> None:
    """Dismiss deliveries that were given up.

    This is for receivers that are gone. Dismissed deliveries no longer count as failed, and stay on record. `redeliver`
    with their keys sends them after all.
    """
    if bool(keys) == is_all:
        raise UsageError("name the deliveries to dismiss, or use --all", "`dockgate delivery list`.")
    body = {"kind": kind, "receiver": receiver, "keys": list(keys) or None, "reason": reason}
    answer = Client().post("deliveries", "dismiss", body=body)
    print_answer(answer, output_format, f"{receiver}: {format_count(answer['count'], 'message')} dismissed")
