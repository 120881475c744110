"""`dockgate events`: what happened, and which event patterns match it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dockgate.cli.output import echo
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from dockgate.events.pattern import Pattern

NO_MATCH = 1
# Characters that are read of a file: an event of EventBridge has 256 KB at most.
MAX_FILE = 4_000_000


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
    compiled = read_pattern(pattern)
    if compiled.matches(_read_event(event)):
        echo("The pattern matches the event.")
        return
    echo("The pattern does not match the event.")
    context.exit(NO_MATCH)


def read_pattern(value: str) -> "Pattern":
    """Compile a pattern that is given as JSON, or as the name of its file. DefinitionError if it is invalid."""
    from dockgate.events.pattern import parse_pattern

    return parse_pattern(read_text(value))


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
        raise UsageError(f"{value}: no text in UTF-8.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{value} cannot be read: {error}", "Name a file, or pass the JSON itself.") from error


def _read_event(value: str) -> dict[str, Any]:
    try:
        event = json.loads(read_text(value))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The event is no JSON: {error}.") from error
    if not isinstance(event, dict):
        raise UsageError("The event is no JSON object.", 'An event looks like {"detail-type": "image.judged", …}.')
    return event
