"""Text from images, builds and people cannot steer a terminal, now or when it is read from a file later."""

import ast
import io
from pathlib import Path

import pytest

from dockgate import cli
from dockgate.cli.output import escape_controls, print_wrapped

HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\u202ed\rover"
# The modules that write what they have cleaned.
RAW = {"output.py", "main.py"}
# Modules that write ASCII JSON, words of their own or a document of their own to standard output, and how often.
JSON = {"listing_output.py": 1, "versions.py": 2, "aws.py": 2}


def test_control_characters_are_escaped_line_by_line() -> None:
    text = escape_controls(f"first\n{HOSTILE}\n")
    assert text.count("\n") == 2
    assert text.startswith("first\na\\x1b]0;title\\x07b")
    assert all(character.isprintable() or character == "\n" for character in text)


def test_no_command_prints_without_escaping() -> None:
    for path in sorted(Path(cli.__path__[0]).glob("*.py")):
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        raw = [call for call in calls if call in ("print", "click.echo", "click.secho", "sys.stdout.write")]
        if path.name not in RAW | {"check.py"}:
            assert len(raw) == JSON.get(path.name, 0), f"{path.name} prints by {raw}: use cli.output.echo"


def test_prose_is_wrapped_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = "sha256:" + "a" * 64
    text = f"  {'word ' * 20}{digest} {'word ' * 3}".rstrip()
    print_wrapped(text)
    assert capsys.readouterr().out == text + "\n"

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    print_wrapped(text)
    lines = terminal.getvalue().splitlines()
    assert " ".join(terminal.getvalue().split()) == " ".join(text.split())
    assert [line for line in lines if len(line) > 60] == [f"      {digest}"]
