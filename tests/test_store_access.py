"""Who may change tables: docs/architecture.md has the rule as a table, below "What may import what"."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "dockgate"

# What the name of a method begins with that only reads.
READING_VERBS = frozenset(("get", "find", "list", "iterate", "count", "read", "summarize", "is", "has"))
# What opens a transaction that may write (store/engine.py).
WRITES = frozenset(("write", "group_commit"))
# What each folder may call on the store besides methods that read.
ALLOWED = {
    "web": frozenset(("audit.begin", "audit.describe", "audit.finish")),
    "workflows": frozenset(
        (
            *("executions.advance", "executions.finish", "push_events.mark_handled", "engine_tables.requeue"),
            *("database.url", "database.connect_arguments", "database.translate_errors"),  # of dbos's own connections
        )
    ),
    "server": frozenset(),
    "cli": frozenset(),
}
# Tables that pages and calls hand to a function which only reads them.
HANDED_ON = {"web": frozenset(("outbox", "logs", "vulnerability_lists"))}


class Access(NamedTuple):
    """A use of `store.TABLE`: the method that is called on it, None where the table itself is handed on."""

    place: str
    table: str
    method: str | None


def _is_reading(method: str) -> bool:
    return method.partition("_")[0] in READING_VERBS


def _get_store_attribute(node: ast.AST) -> str | None:
    """Return TABLE of the expression `store.TABLE` or `x.store.TABLE`, None for others."""
    match node:
        case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name), attr=table):
            return table if name.strip("_") == "store" else None
    return None


def iterate_accesses(folder: str) -> Iterator[Access]:
    """Each use of a table of the store in the modules of a folder."""
    for file in sorted((SOURCE / folder).rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        called_on = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            table = _get_store_attribute(node)
            if table is not None and isinstance(node, ast.Attribute):
                place = f"{file.relative_to(SOURCE)}:{node.lineno}"
                yield Access(place, table, called_on.get(id(node)))


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_changes_only_the_tables_that_it_may(folder: str) -> None:
    changes = [
        access
        for access in iterate_accesses(folder)
        if access.method is not None
        and not _is_reading(access.method)
        and f"{access.table}.{access.method}" not in ALLOWED[folder]
    ]
    assert changes == []


@pytest.mark.parametrize("folder", HANDED_ON)
def test_a_folder_hands_on_only_tables_that_are_read(folder: str) -> None:
    assert {access.table for access in iterate_accesses(folder) if access.method is None} == HANDED_ON[folder]


def test_the_store_is_used_in_ways_that_these_tests_see() -> None:
    assert sum(1 for access in iterate_accesses("web") if access.method is not None) > 100


def test_methods_of_the_store_that_are_named_as_reading_do_not_write() -> None:
    writing_methods = [
        f"{file.relative_to(SOURCE)}:{method.lineno} {group.name}.{method.name}"
        for file in sorted((SOURCE / "store").rglob("*.py"))
        for group in ast.parse(file.read_text("utf-8")).body
        if isinstance(group, ast.ClassDef)
        for method in group.body
        if isinstance(method, ast.FunctionDef)
        and _is_reading(method.name)
        and any(isinstance(node, ast.Attribute) and node.attr in WRITES for node in ast.walk(method))
    ]
    assert writing_methods == []
