"""Output of the client commands: the server's JSON, or tables for people."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dockgate.cli.output import print_text
from dockgate.shared.digest import PREFIX, get_hex, is_digest

if TYPE_CHECKING:
    from dockgate.delivery.model import Execution

F = TypeVar("F", bound=Callable[..., Any])
# A text, or (text, style).
Cell = str | tuple[str, str]


def make_format_option(kind: str, description: str) -> Callable[[F], F]:
    """Add the option `-o KIND|json`, passed as `output_format`. KIND, the default, is for people."""
    return click.option(
        "-o",
        "--output",
        "output_format",
        type=click.Choice([kind, "json"]),
        default=kind,
        show_default=True,
        help=description,
    )


# The option `-o table|json` of the commands that show what the server answers.
format_option = make_format_option("table", "A table for people, or the server's JSON for programs.")


def make_sort_option(*names: str) -> Callable[[F], F]:
    """Add the option `--sort`, passed as `sort`. The first name is the default."""
    return click.option(
        "--sort",
        type=click.Choice(names),
        default=names[0],
        show_default=True,
        help="The order of the list; prefix '-' for descending.",
    )


def select_filters(**filters: str | bool | None) -> dict[str, Any]:
    """The filters of a list that are set, as parameters of a call."""
    values = ((name, value) for name, value in filters.items() if value is not None)
    return {name: value if isinstance(value, str) else str(value).lower() for name, value in values}


def print_json(value: Any) -> None:
    """Print JSON in ASCII, which cannot steer a terminal."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_answer(answer: Any, output_format: str, text: str) -> None:
    """Print the server's answer as JSON, or as the line `text`."""
    if output_format == "json":
        print_json(answer)
    else:
        print_text(text)


def print_list(
    answer: Any, output_format: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], empty: str | None = None
) -> None:
    """Print the server's answer as JSON, or as a table with these rows."""
    if output_format == "json":
        print_json(answer)
    else:
        print_table(head, list(rows), empty)


def print_table(head: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str | None) -> None:
    """Print aligned columns, or the sentence `empty` without rows.

    On a terminal, columns that do not fit move to lines below their row (`fit_rows`); elsewhere a row is always one
    line.
    """
    from dockgate.shared.terminal_lines import align_rows, create_console, fit_rows, make_line, print_lines

    terminal = create_console(sys.stdout)
    if not rows:
        print_lines(terminal, [make_line((empty or "", "dim"))])
        return
    cells = [[make_line((name, "dim")) for name in head], *([make_line(cell) for cell in row] for row in rows)]
    print_lines(terminal, fit_rows(cells, terminal.width) if terminal.is_terminal else align_rows(cells, indent=0))


def print_fields(title: str, rows: Sequence[tuple[str, Cell]]) -> None:
    """Print a title and, below it, names with values; rows without a value are omitted."""
    from dockgate.shared.terminal_lines import align_rows, create_console, make_line, print_lines

    terminal = create_console(sys.stdout)
    print_lines(terminal, [make_line((title, "bold"))])
    print_lines(
        terminal, align_rows([[make_line((name, "dim")), make_line(value)] for name, value in rows if value], indent=2)
    )


def style_state(word: str, reason: str | None = None) -> Cell:
    """A state in its colour, with the reason."""
    return f"{word}: {reason}" if reason else word, STATES.get(word, ("", ""))[1]


def style_verdict(status: str | None, waived_count: str | None) -> Cell:
    """A verdict's status with what is waived: "Approved, 5 waived findings" must not look like "Approved"."""
    if status == "Approved" and waived_count:
        return f"{status}, {waived_count}", "yellow"
    return style_state(status or "-")


def display_digest(digest: str) -> str:
    """A digest in a list: shortened on a terminal, complete elsewhere."""
    return shorten_reference(digest) if sys.stdout.isatty() else digest


def shorten_digest(digest: str) -> str:
    """The first characters of a digest, which commands accept, on a terminal; all of it elsewhere."""
    return get_hex(digest)[:12] if sys.stdout.isatty() else digest


def shorten_reference(reference: str) -> str:
    """A reference or digest with as much of its digest as people compare."""
    name, algorithm, digits = reference.partition(PREFIX)
    return f"{name}{algorithm}{digits[:12]}…" if is_digest(algorithm + digits) else reference


# State -> its glyph and style, of executions, approvals, verdicts and tasks.
STATES = {
    state: (glyph, style)
    for glyph, style, states in (
        ("·", "dim", ("Pending",)),
        ("▸", "blue", ("InProgress", "PENDING")),
        ("◦", "yellow", ("Waiting",)),
        ("✓", "green", ("Succeeded", "Approved", "Active", "RUNNING")),
        ("✗", "red", ("Failed", "Rejected", "Expired", "UNHEALTHY")),
        ("■", "dim", ("Stopped", "Revoked", "Cancelled", "STOPPED")),
        ("?", "yellow", ("Undetermined",)),
    )
    for state in states
}


def format_trigger(execution: "Execution") -> str:
    """ "push of 3f2a9c1b04 to components main", or what the trigger says."""
    trigger = execution.trigger
    if "commit" in trigger and "fix" not in trigger:
        return f"push of {trigger['commit'][:10]} to {trigger.get('repository')} {trigger.get('branch')}"
    return trigger.get("cause", "") or ", ".join(f"{key} {value}" for key, value in sorted(trigger.items()))
