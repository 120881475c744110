"""What the client commands print: JSON as the server gave it, or lines for people."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from dockgate.delivery.model import Execution
from dockgate.shared.digest import hex_of

F = TypeVar("F", bound=Callable[..., Any])
# text, or (text, style).
Cell = str | tuple[str, str]


def form(function: F) -> F:
    """`-o table|json`, as `form`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="For people, or what the server said for programs.",
    )(function)


def now() -> datetime:
    return datetime.now(UTC)


def as_json(value: Any) -> None:
    """ASCII alone, so that nothing in it can steer a terminal."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str) -> None:
    """Columns under each other; `empty` is said instead when there are no rows.

    On a terminal, columns for which a row has no room go to lines of their own below it (`fitted`); elsewhere a row is
    always one line.
    """
    from dockgate.services.terminal import align, console, fit, line, show

    to = console(sys.stdout)
    if not rows:
        show(to, [line((empty, "dim"))])
        return
    cells = [[line((name, "dim")) for name in head], *([line(cell) for cell in row] for row in rows)]
    show(to, fit(cells, to.width) if to.is_terminal else align(cells, indent=0))


def pairs(title: str, rows: Sequence[tuple[str, Cell]]) -> None:
    """A title, and names with their values below it; a row without a value is left out."""
    from dockgate.services.terminal import align, console, line, show

    to = console(sys.stdout)
    show(to, [line((title, "bold"))])
    show(to, align([[line((name, "dim")), line(value)] for name, value in rows if value], indent=2))


def state(word: str, reason: str = "") -> Cell:
    """A state in its colour, with its reason."""
    return f"{word}: {reason}" if reason else word, STATES.get(word, ("", ""))[1]


def verdict_state(status: str, waived: str) -> Cell:
    """A verdict's status with what is waived: "Approved, 5 waived findings" must not look like "Approved"."""
    if status == "Approved" and waived:
        return f"{status}, {waived}", "yellow"
    return state(status or "-")


def shown_digest(digest: str) -> str:
    """A digest in a list: its first characters on a terminal, which commands take, and the whole of it elsewhere."""
    return brief(digest) if sys.stdout.isatty() else digest


def short_digest(digest: str) -> str:
    """On a terminal the part of a digest that commands take for the whole; elsewhere the whole of it."""
    return hex_of(digest)[:12] if sys.stdout.isatty() else digest


def brief(reference: str) -> str:
    """A reference or digest with as much of its digest as people compare."""
    name, algorithm, digest = reference.partition("sha256:")
    return f"{name}{algorithm}{digest[:12]}…" if len(digest) == 64 else reference


# State -> its glyph and style, of executions, approvals, verdicts and tasks.
STATES = {
    "Pending": ("·", "dim"),
    "InProgress": ("▸", "blue"),
    "Waiting": ("◦", "yellow"),
    "Succeeded": ("✓", "green"),
    "Failed": ("✗", "red"),
    "Stopped": ("■", "dim"),
    "Approved": ("✓", "green"),
    "Rejected": ("✗", "red"),
    "Undetermined": ("?", "yellow"),
    "Expired": ("✗", "red"),
    "Standing": ("✓", "green"),
    "Lapsed": ("■", "dim"),
    "Revoked": ("■", "dim"),
    "Cancelled": ("■", "dim"),
    "RUNNING": ("✓", "green"),
    "PENDING": ("▸", "blue"),
    "UNHEALTHY": ("✗", "red"),
    "STOPPED": ("■", "dim"),
}


def cause(execution: Execution) -> str:
    """ "push of 3f2a9c1b04 to components main", or what the trigger says."""
    trigger = execution.trigger
    if "commit" in trigger:
        return f"push of {trigger['commit'][:10]} to {trigger.get('repository')} {trigger.get('branch')}"
    return trigger.get("cause", "") or ", ".join(f"{key} {value}" for key, value in sorted(trigger.items()))
