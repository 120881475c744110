"""The one catch point: exits, words, and what no command does."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports import samples

from dockgate import __version__
from dockgate.cli.main import COMPLETION, root, set_missing_home
from dockgate.shared.canonical import to_plain


def iterate_commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from iterate_commands(command, (*path, name))


ALL = dict(iterate_commands(root))


def test_every_command_option_and_group_has_help(dockgate: Dockgate) -> None:
    for path, command in ALL.items():
        words = " ".join(path)
        result = dockgate(*path, "--help")
        assert (words, result.code, result.err) == (words, 0, "")
        assert result.out.startswith(f"Usage: dockgate {words} ")
        assert command.help, words
        assert command.get_short_help_str(), words
        shortened_lines = [line for line in result.out.splitlines()[1:] if line.endswith("...")]
        assert not shortened_lines, f"{words}: the first sentence does not fit into the list of commands"
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{words} {option.name}"
                has_formats = isinstance(option.type, click.Choice)
                has_both_names = ("-o" in option.opts) == ("--output" in option.opts)
                assert not has_formats or has_both_names, f"{words} {option.name}"


def test_the_main_commands_are_in_the_help(dockgate: Dockgate) -> None:
    output = dockgate("--help").out
    for name in ("up", "down", "demo", "scan", "gate", "db", "pipeline", "approval", "deploy", "apply"):
        assert f"\n  {name} " in output


def test_the_version_is_printed(dockgate: Dockgate) -> None:
    assert dockgate("--version").out == f"dockgate {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("bogus",), "No such command 'bogus'."),
        (("scna", "x"), "No such command 'scna'. Did you mean 'scan'?"),
        (("logs", "x"), "No such command 'logs'. Did you mean 'pipeline logs'?"),
        (("pipeline", "shwo"), "No such command 'shwo'. Did you mean 'show'?"),
        (("gate", "x", "--polcy", "y"), "No such option '--polcy'. Did you mean '--policy'?"),
        (("scan",), "Missing argument 'IMAGE'."),
        (("scan", "x", "--nope"), "No such option"),
        (("scan", "x", "-o", "yaml"), "Unknown format 'yaml'. Formats: cyclonedx, html, json"),
        (("scan", "x", "-o", "json="), "The file name is missing after '='"),
        (("scan", "x", "-o", "json", "-o", "table"), "Only one format can be written to standard output"),
        (("pipeline", "show"), "Missing argument 'NAME|EXECUTION'."),
        (("deploy", "scale", "web", "many"), "is not a valid integer range"),
    ],
)
def test_wrong_use_exits_2_and_says_where_help_is(
    dockgate: Dockgate, arguments: tuple[str, ...], complaint: str
) -> None:
    result = dockgate(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert complaint in result.err
    assert "--help`." in result.err


def test_every_command_takes_a_short_option_for_help(dockgate: Dockgate) -> None:
    for path in ALL:
        assert dockgate(*path, "-h") == dockgate(*path, "--help"), path


def test_suggested_commands_exist() -> None:
    for meant in root.suggestions.values():
        assert tuple(meant.split()) in ALL


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_uses_the_variable_that_main_reads(shell: str, dockgate: Dockgate) -> None:
    result = dockgate("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert f"{COMPLETION}={shell}_complete" in result.out


def test_commands_and_options_are_completed_without_importing_every_command() -> None:
    def complete_words(words: str) -> list[str]:
        environment = {**os.environ, COMPLETION: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "1"}
        environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
        program = "import sys; from dockgate.cli.main import main\n"
        program += "try: main()\nfinally: assert 'dockgate.cli.aws' not in sys.modules"
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return [line.partition(",")[2] for line in result.stdout.splitlines()]

    assert complete_words("dockgate pi") == ["pipeline"]
    assert complete_words("dockgate sta") == ["status"]
    assert complete_words("dockgate pipeline lo") == ["logs"]
    assert "--follow" in complete_words("dockgate pipeline logs --f")


def test_without_a_command_the_help_is_shown_and_the_exit_is_2(dockgate: Dockgate) -> None:
    for arguments in ((), ("db",)):
        result = dockgate(*arguments)
        assert result.code == 2
        assert "Commands:" in result.err


def test_an_internal_error_is_one_line_and_a_request_to_report_it(
    dockgate: Dockgate, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["GET /repositories"] = [{"unexpected": 1}]
    result = dockgate("repository", "list")
    assert result.code == 2
    first, second = result.err.splitlines()
    assert first == "error: internal error: KeyError: 'name'"
    assert "Please report it" in second
    monkeypatch.setenv("DOCKGATE_DEBUG", "1")
    assert "Traceback (most recent call last)" in dockgate("repository", "list").err


def test_errors_of_the_operating_system_are_not_internal_errors(
    dockgate: Dockgate, server: FakeServer, tmp_path: Path
) -> None:
    server.answers["GET /verdicts/sha256:1"] = to_plain(samples.make_verdict())
    result = dockgate("verdict", "show", "sha256:1", "-o", f"json={tmp_path}/nowhere/report.json")
    assert (result.code, result.err) == (2, f"error: {tmp_path}/nowhere/report.json: No such file or directory\n")


def test_server_messages_cannot_steer_the_terminal(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /repositories"] = (500, {"error": "a\x1b[2Jb\nc", "advice": "d\x07"})
    assert dockgate("repository", "list").err == "error: a\\x1b[2Jb\n       c\n       d\\x07\n"


@pytest.mark.parametrize("repositories", [1, 5000])
def test_a_broken_pipe_is_not_an_error(server: FakeServer, repositories: int) -> None:
    """Whether that shows while writing, or only when Python flushes the little there is at its end."""
    repository = {"name": "components", "clone_url": "http://127.0.0.1/x" * 20, "heads": {}}
    server.answers["GET /repositories"] = [repository] * repositories
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "dockgate", "repository", "list", "-o", "json"],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**environment, "DOCKGATE_SERVER": server.url},
            check=False,
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


def test_an_interrupted_command_exits_130_without_output(server: FakeServer) -> None:
    is_requested = threading.Event()

    def hang(_: object) -> object:
        is_requested.set()
        process.wait(timeout=20)
        return []

    server.answers["GET /repositories"] = hang
    process = subprocess.Popen(
        [sys.executable, "-m", "dockgate", "repository", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "DOCKGATE_SERVER": server.url},
    )
    assert is_requested.wait(timeout=20)
    process.send_signal(signal.SIGINT)
    output, err = process.communicate(timeout=20)
    assert (process.returncode, output, err) == (130, b"", b"")


def test_an_interrupt_while_an_object_is_made_has_no_output(server: FakeServer) -> None:
    """An object whose constructor was interrupted is incomplete: its finalizer fails, of which Python would warn."""
    server.answers["GET /repositories"] = lambda _: []
    script = """
import http.client

def interrupted(*_, **__):
    raise KeyboardInterrupt

http.client.HTTPResponse.__init__ = interrupted
from dockgate.cli.main import run
raise SystemExit(run(["repository", "list"]))
"""
    environment = {**os.environ, "DOCKGATE_SERVER": server.url}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, b"", b"")


@pytest.mark.parametrize("closed_stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_change_the_exit_code(closed_stream: str) -> None:
    """A closed stream gets no output, and no other file takes its descriptor."""
    command = f'"{sys.executable}" -m dockgate versions PyPI {closed_stream}'
    result = subprocess.run(["sh", "-c", command], input=b"1 2\n", capture_output=True, check=False)
    expected_output = b"" if ">&-" in closed_stream.replace("2>&-", "") or "<" in closed_stream else b"<\n"
    assert (result.returncode, result.stdout, result.stderr) == (0, expected_output, b"")


def test_home_is_set_for_a_user_without_one() -> None:
    """Such as a number without an entry, whom a cluster runs a container as."""
    environment: dict[str, str] = {}
    set_missing_home(environment, "/home/ada")
    assert environment == {}
    set_missing_home(environment, "~")
    assert environment == {"HOME": "/"}


def test_a_full_disk_is_reported_with_the_file(dockgate: Dockgate, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    result = dockgate("sbom", f"dir:{tmp_path}/root", "-o", "json=/dev/full")
    assert (result.code, result.err) == (2, "error: /dev/full: No space left on device\n")
