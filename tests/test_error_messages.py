"""An error that people or programs cause names the next step."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.statements import iterate_statements

SOURCE = Path(__file__).parent.parent / "src" / "dockgate"
# Readers of documents, whose callers add the file and the advice to every error; and reasons that a verdict quotes.
EXCEPTIONS = ("gate/external/", "gate/provenance.py", "scanner/sboms/")
# Each takes a message and the advice. A document's error names the allowed values in its message.
ERRORS = (
    *("BusyError", "ConflictError", "DatabaseError", "DeniedError", "DeployError", "NotFoundError", "TooLargeError"),
    "UsageError",
)
RAISE = re.compile(rf"raise (?:{'|'.join(ERRORS)})\(")


def _iterate_errors(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls that make the errors which are raised."""
    for node in iterate_statements(tree.body):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name)) as call) if name in ERRORS:
                yield call


def test_each_error_of_a_caller_has_an_advice() -> None:
    errors = [
        (f"{file.relative_to(SOURCE)}:{call.lineno}", len(call.args) + len(call.keywords))
        for file in sorted(SOURCE.rglob("*.py"))
        if not file.relative_to(SOURCE).as_posix().startswith(EXCEPTIONS)
        if RAISE.search(text := file.read_text())
        for call in _iterate_errors(ast.parse(text))
    ]
    assert len(errors) > 300
    assert [location for location, count in errors if count < 2] == []
