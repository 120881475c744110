"""`dockgate rule`: which events go to which targets."""

import json
from typing import Any, TextIO

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import (
    format_option,
    make_sort_option,
    print_fields,
    print_json,
    print_list,
    select_filters,
)
from dockgate.cli.output import print_text
from dockgate.shared.errors import UsageError

EVENT_LIMIT = 1 << 20  # characters


@click.group()
def command() -> None:
    """Manage rules, which send events to targets.

    A rule is a document of `kind: Rule`: `dockgate apply` creates and changes it.
    """


@command.command("list")
@click.option("--enabled/--no-enabled", "is_enabled", default=None, help="List only rules that are on, or off.")
@make_sort_option("name", "-name", "-changed", "changed")
@format_option
def list_rules(is_enabled: bool | None, sort: str, output_format: str) -> None:
    """List rules."""
    answer = Client().get_all("rules", sort=sort, **select_filters(enabled=is_enabled))
    rows = (
        (
            entry["name"],
            ("enabled", "green") if entry["enabled"] else ("disabled", "dim"),
            ", ".join(target["name"] for target in entry["targets"]),
            str(entry["version"]) if entry["version"] else "built in",
            entry["changed_by"] or "",
        )
        for entry in answer
    )
    print_list(answer, output_format, ("RULE", "STATE", "TARGETS", "VERSION", "CHANGED BY"), rows, "No rules.")


@command.command()
@click.argument("name")
@format_option
def show(name: str, output_format: str) -> None:
    """Show the rule NAME."""
    answer = Client().get("rules", name)
    if output_format == "json":
        print_json(answer)
        return
    last_change = (
        f"{times.format_time(answer['changed_at'])} by {answer['changed_by']}" if answer["version"] else "built in"
    )
    print_fields(
        answer["name"],
        [
            ("state", "enabled" if answer["enabled"] else "disabled"),
            ("changed", last_change),
            *(("target", _format_target(target)) for target in answer["targets"]),
            ("pattern", json.dumps(answer["pattern"], sort_keys=True)),
        ],
    )


@command.command("test")
@click.argument("name")
@click.option("--event", "file", type=click.File("r"), required=True, help="An event as JSON; - is standard input.")
@format_option
@click.pass_context
def try_rule(context: click.Context, name: str, file: TextIO, output_format: str) -> None:
    """Test whether the rule NAME matches an event.

    The command shows what each target would get.

    Nothing is sent. Exits 0 when the event matches, 1 when it does not.
    """
    answer = Client().post("rules", name, "test", body={"event": _read_event(file)})
    if output_format == "json":
        print_json(answer)
    else:
        print_text("The event matches." if answer["is_match"] else "The event does not match.")
        for target in answer["targets"]:
            group = f" in a group, {target['group_seconds']} s after the last" if target["group_seconds"] else ""
            print_text(f"{target['name']}{group}: {target['error'] or target['data']}")
    context.exit(0 if answer["is_match"] else 1)


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the rule NAME."""
    Client().delete("rules", name, query={}, headers={})
    print_text(f"{name}: removed")


def _read_event(file: TextIO) -> dict[str, Any]:
    try:
        event = json.loads(file.read(EVENT_LIMIT))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file.name} is not JSON: {error}", "See `dockgate events list -o json`.") from None
    if not isinstance(event, dict):
        raise UsageError(f"{file.name} is not an event: it is not a JSON object", "See `dockgate events list -o json`.")
    return event


def _format_target(target: Any) -> str:
    settings = {key: value for key, value in target["input"].items() if value}
    text = str(target["name"])
    if target["group_seconds"]:
        text += f", grouped until none comes for {target['group_seconds']} s"
    return f"{text}, input {json.dumps(settings)}" if settings else text
