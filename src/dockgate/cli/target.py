"""`dockgate target`: where events go, and what could not be sent."""

from typing import Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import (
    Cell,
    format_option,
    make_sort_option,
    print_answer,
    print_fields,
    print_json,
    print_list,
    select_filters,
)
from dockgate.cli.output import print_text
from dockgate.shared.errors import UsageError
from dockgate.shared.wording import format_count

STATES = ("Active", "Failed", "Off")
_limit_option = click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The maximum number of dead letters."
)


@click.group()
def command() -> None:
    """Manage targets, which receive events.

    A target is a document of `kind: Target`: `dockgate apply` creates and changes it. Its URL and secret are encrypted,
    and never shown.
    """


@command.command("list")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="List only targets in this state.")
@make_sort_option("name", "-name", "type", "-type", "-waiting", "waiting", "-dead", "dead")
@format_option
def list_targets(state: str | None, sort: str, output_format: str) -> None:
    """List targets and their delivery state."""
    answer = Client().get_all("targets", sort=sort, **select_filters(state=state))
    rows = (
        (
            entry["name"],
            entry["type"],
            entry["address"],
            _format_state(entry),
            str(entry["waiting"]),
            str(entry["dead"]),
        )
        for entry in answer
    )
    print_list(answer, output_format, ("TARGET", "TYPE", "ADDRESS", "STATE", "WAITING", "DEAD"), rows, "No targets.")


@command.command()
@click.argument("name")
@format_option
def show(name: str, output_format: str) -> None:
    """Show the target NAME and its delivery state."""
    answer = Client().get("targets", name)
    if output_format == "json":
        print_json(answer)
        return
    last_change = (
        f"{times.format_time(answer['changed_at'])} by {answer['changed_by']}"
        if answer["version"]
        else "by the settings"
    )
    quiet, summary = answer["quiet_hours"], answer["summary"]
    lost_count = answer["given_up"] + answer["deleted"]
    print_fields(
        answer["name"],
        [
            ("type", answer["type"]),
            ("address", answer["address"]),
            ("state", _format_state(answer)),
            ("changed", last_change),
            ("for", ", ".join(answer["recipients"])),
            ("quiet hours", f"{quiet['start']} to {quiet['end']} {quiet['timezone']}" if quiet else ""),
            ("daily summary", f"{summary['at']} {summary['timezone']}" if summary else ""),
            ("waiting", str(answer["waiting"])),
            ("dead letters", str(answer["dead"])),
            ("lost by limits", f"{answer['given_up']} given up, {answer['deleted']} deleted" if lost_count else ""),
            ("next attempt", times.format_time(answer["paused_until"]) if answer["paused_until"] else ""),
            ("last error", answer["last_error"] or ""),
            ("next step", _advise_next_step(answer)),
        ],
    )


@command.command("test")
@click.argument("name")
@format_option
def try_target(name: str, output_format: str) -> None:
    """Send a test message to the target NAME.

    The command waits until the target has accepted it.
    """
    answer = Client().post("targets", name, "test")
    print_answer(answer, output_format, f"{name}: accepted the test message")


@command.command()
@click.argument("name")
@_limit_option
@make_sort_option("position", "-position")
@format_option
def waiting(name: str, limit: int, sort: str, output_format: str) -> None:
    """List messages that wait for the target NAME.

    The list has the failed attempts, the last error and the next attempt. A group of events is one message: it waits
    for further events, or for the end of the target's quiet hours.
    """
    answer = Client().get_all("targets", name, "waiting-messages", maximum=limit, sort=sort)
    rows = (
        (
            str(entry["position"]),
            entry["key"],
            str(entry["events"]),
            str(entry["attempts"]),
            times.format_time(entry["next_at"]),
            entry["error"] or "",
        )
        for entry in answer
    )
    head = ("POSITION", "KEY", "EVENTS", "FAILED", "NEXT ATTEMPT", "ERROR")
    print_list(answer, output_format, head, rows, "No message waits.")


@command.command("delivered")
@click.argument("name")
@_limit_option
@make_sort_option("-position", "position")
@format_option
def list_delivered(name: str, limit: int, sort: str, output_format: str) -> None:
    """List messages that the target NAME accepted.

    The list has those of the last day, with their earlier failed attempts.
    """
    answer = Client().get_all("targets", name, "delivered-messages", maximum=limit, sort=sort)
    rows = (
        (str(entry["position"]), entry["key"], str(entry["attempts"]), times.format_time(entry["delivered_at"]))
        for entry in answer
    )
    head = ("POSITION", "KEY", "FAILED", "DELIVERED")
    print_list(answer, output_format, head, rows, "No message was delivered in the last day.")


@command.command()
@click.argument("name")
@_limit_option
@make_sort_option("-position", "position")
@format_option
def deadletters(name: str, limit: int, sort: str, output_format: str) -> None:
    """List the dead letters of the target NAME.

    These are messages that the target did not accept for a day, or refused.
    """
    answer = Client().get_all("targets", name, "dead-letters", maximum=limit, sort=sort)
    rows = (
        (
            str(entry["position"]),
            times.format_age(entry["due_since"]),
            entry["key"],
            str(entry["attempts"]),
            entry["error"] or "",
        )
        for entry in answer
    )
    print_list(answer, output_format, ("POSITION", "DUE", "KEY", "ATTEMPTS", "ERROR"), rows, "No dead letters.")


@command.command()
@click.argument("name")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Send all of them again.")
@format_option
def redeliver(name: str, keys: tuple[str, ...], is_all: bool, output_format: str) -> None:
    """Send dead letters again.

    KEY is a dead letter of the target NAME, as `dockgate target deadletters` lists it.
    """
    if bool(keys) == is_all:
        raise UsageError("name the messages to send again, or use --all", f"`dockgate target deadletters {name}`.")
    answer = Client().post("targets", name, "dead-letters", "redeliver", body={"keys": list(keys) or None})
    print_answer(answer, output_format, f"{name}: sending {format_count(answer['count'], 'message')} again")


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the target NAME, with the messages that wait for it."""
    Client().delete("targets", name, query={}, headers={})
    print_text(f"{name}: removed")


def _format_state(target: Any) -> Cell:
    if not target["enabled"]:
        return "disabled", "dim"
    if target["gone_at"]:
        return f"gone {times.format_age(target['gone_at'])}: {target['last_error']}", "red"
    if target["is_failing"]:
        return f"failing: {target['last_error']}", "red"
    if target["failures"]:
        return "retrying", "yellow"
    if target["last_error"]:
        return f"refused: {target['last_error']}", "yellow"
    return "ok", "green"


def _advise_next_step(target: Any) -> str:
    """Return what brings messages to a target again that gets none."""
    if not target["gone_at"]:
        return ""
    name = target["name"]
    return f"apply it with another URL, or `dockgate target test {name}`; then `dockgate target redeliver {name} --all`"
