"""Fixes as rows of a table."""

from collections.abc import Iterator, Sequence

from dockgate.cli import times
from dockgate.cli.client import parse_answer
from dockgate.delivery.fixes import Fix


def list_fix_rows(answer: Sequence[object]) -> Iterator[tuple[str, ...]]:
    """The rows of the API's fixes."""
    for value in answer:
        fix = parse_answer(Fix, value)
        result = fix.branch or fix.execution or "; ".join(fix.details.obstacles) or "-"
        changes = ", ".join(fix.details.changes)
        yield fix.id, fix.state.value, times.format_age(fix.created_at), fix.kind.value, changes, fix.reason or result
