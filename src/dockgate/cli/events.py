"""`dockgate events`: what happened, and which event patterns match it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.listing_output import Cell, format_option, make_format_option, print_list
from dockgate.cli.output import print_text
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from dockgate.events.pattern import Pattern

NO_MATCH = 1
# Characters that are read of a file: an event of EventBridge has 256 KB at most.
MAX_FILE = 4_000_000
# How long one call of `tail` waits for events.
WAIT_SECONDS = 30


@click.group()
def command() -> None:
    """Show what happened, and try event patterns."""


@command.command()
@click.option("--pattern", required=True, metavar="FILE|JSON", help="The event pattern, in EventBridge's language.")
@click.option("--event", required=True, metavar="FILE|JSON", help="The event; - reads standard input.")
@click.pass_context
def test(context: click.Context, pattern: str, event: str) -> None:
    """Test whether an event pattern matches an event.

    Needs no server. Exits 0 if it matches, 1 if it does not, 2 if the pattern is invalid.
    """
    event_pattern = read_pattern(pattern)
    if event_pattern.is_match(_read_event(event)):
        print_text("The pattern matches the event.")
        return
    print_text("The pattern does not match the event.")
    context.exit(NO_MATCH)


def read_pattern(value: str) -> "Pattern":
    """Compile a pattern that is given as JSON, or as the name of its file.

    DefinitionError if it is invalid.
    """
    from dockgate.events.pattern import parse_pattern

    return parse_pattern(value if value.lstrip().startswith("{") else read_text(value))


def read_text(value: str) -> str:
    """JSON that is given as such, or as the name of its file; - is standard input."""
    if value.lstrip().startswith("{"):
        return value
    try:
        if value == "-":
            return sys.stdin.read(MAX_FILE)
        with Path(value).open(encoding="utf-8") as file:
            return file.read(MAX_FILE)
    except UnicodeDecodeError as error:
        raise UsageError(f"{value} is not UTF-8", "Save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{value} cannot be read: {error}", "Name a file, or pass the JSON itself.") from error


def _read_event(value: str) -> dict[str, Any]:
    try:
        event = json.loads(read_text(value))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the event is not JSON: {error}", "Copy one from `dockgate events list -o json`.") from error
    if not isinstance(event, dict):
        raise UsageError("the event is not a JSON object", 'An event looks like {"detail-type": "image.judged", …}.')
    return event


@command.command("list")
@click.option("--pattern", metavar="FILE|JSON", help="List the events that this event pattern matches.")
@click.option("--after", type=click.IntRange(0), metavar="SEQ", help="List the events after this number, oldest first.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The maximum number of events."
)
@format_option
def list_events(pattern: str | None, after: int | None, limit: int, output_format: str) -> None:
    """List what happened: the newest events, or those after a number."""
    client, query = Client(), _make_query(pattern, limit)
    events: list[Any] = []
    position = after
    while len(events) < limit:
        page = client.get("events", **query, **({} if position is None else {"after": position}))
        events += page["events"]
        position = page["after"]
        if after is None or not page["has_more"]:
            break
    print_list(
        events[:limit],
        output_format,
        ("SEQ", "WHEN", "EVENT", "WHAT"),
        map(_make_row, events[:limit]),
        "No visible events.",
    )


@command.command()
@click.option("--pattern", metavar="FILE|JSON", help="Follow the events that this event pattern matches.")
@click.option("--after", type=click.IntRange(0), metavar="SEQ", help="Begin after this number.  [default: now]")
@make_format_option("text", "A line for people, or a line of JSON, for each event.")
def tail(pattern: str | None, after: int | None, output_format: str) -> None:
    """Print events as they happen, until interrupted."""
    client, query = Client(), _make_query(pattern, 1000)
    position = client.get("events", limit=1)["after"] if after is None else after
    while True:
        page = client.get("events", **query, after=position, wait=WAIT_SECONDS)
        position = page["after"]
        for event in page["events"]:
            print_text(json.dumps(event) if output_format == "json" else "  ".join(map(str, _make_row(event))))


def _make_query(pattern: str | None, limit: int) -> dict[str, str | int]:
    """The parameters of a call. A wrong pattern is refused before it."""
    if pattern is None:
        return {"limit": limit}
    text = read_text(pattern)
    read_pattern(text)
    return {"limit": limit, "pattern": text}


def _make_row(event: Any) -> tuple[Cell, ...]:
    from dockgate.events.notification_texts import summarize

    return str(event["seq"]), times.format_age(event["time"]), event["detail-type"], summarize(event)
