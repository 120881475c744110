"""The API and the console take the records of their subjects, and change tables through use cases alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import dockgate.web

WEB = Path(dockgate.web.__file__).parent
# Those that make the application, and those that serve every call.
FOR_ALL_SUBJECTS = {"app.py", "authorization.py", "registry_endpoints.py", "console/rendering.py"}
READING_VERBS = ("get", "find", "list", "read", "count", "has", "iterate", "summarize")
# The audit entries of calls are begun and completed around each call.
AUDIT_TRAIL = {"audit.begin", "audit.describe", "audit.finish"}


def parse_modules() -> Iterator[tuple[str, ast.Module]]:
    for file in WEB.rglob("*.py"):
        yield str(file.relative_to(WEB)), ast.parse(file.read_text("utf-8"))


def list_calls_of_tables(tree: ast.AST) -> Iterator[str]:
    """The methods of `store.TABLE` that a module names, as TABLE.METHOD."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(table := node.value, ast.Attribute):
            owner = table.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
            if name == "store":
                yield f"{table.attr}.{node.attr}"


def test_calls_and_pages_do_not_take_the_use_cases_of_all_subjects() -> None:
    modules = {
        name
        for name, tree in parse_modules()
        if any(isinstance(node, ast.Name) and node.id == "WebServices" for node in ast.walk(tree))
    }
    assert modules <= FOR_ALL_SUBJECTS


def test_the_web_application_only_reads_tables() -> None:
    calls = {call for _, tree in parse_modules() for call in list_calls_of_tables(tree)}
    assert len(calls) > 50
    writing_calls = {call for call in calls if not call.partition(".")[2].startswith(READING_VERBS)}
    assert writing_calls == AUDIT_TRAIL
