"""The command `dockgate`, and the one place where errors become text and exit codes.

Exit codes: 0 approved or done, 1 rejected, 2 wrong usage or an error, 3 undetermined, 130 interrupted, 141 broken pipe.
"""

import gc
import importlib
import io
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import click

from dockgate import __version__
from dockgate.shared.errors import DockgateError
from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPT_EXIT = 130
# 128 and the number of SIGINT or SIGPIPE, as shells report them.
BROKEN_PIPE = 141

# The variable with which a shell requests completions; the name is click's.
COMPLETION = "_DOCKGATE_COMPLETE"


class LazyGroup(click.Group):
    """A group of commands that imports a command when it is called, for a short start-up time.

    `names` are the commands, which are modules of this package with an object `command`, in the order of the help.
    `suggestions` maps other names that users try to the right commands.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        help: str,  # noqa: A002 - click's name for it
        suggestions: Mapping[str, str],
    ) -> None:
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._names = names
        self.suggestions = suggestions

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._names)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._names:
            return None
        command: click.Command = importlib.import_module(f"{__package__}.{cmd_name}").command
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown name with a suggestion."""
        name = args[0]
        if name not in self._names and not name.startswith("-") and (suggestion := self._find_suggestion(name)):
            raise click.UsageError(f"No such command {name!r}. Did you mean {suggestion!r}?", ctx)
        return super().resolve_command(ctx, args)

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete names without their help, which would import every command."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name) for name in self._names if name.startswith(incomplete)]

    def _find_suggestion(self, name: str) -> str | None:
        from difflib import get_close_matches

        return self.suggestions.get(name) or next(iter(get_close_matches(name, self._names, 1)), None)


# In the order of the help. Each is a module of this package with an object `command`.
COMMANDS = (
    *("scan", "gate", "sbom", "check", "versions", "db", "up", "down", "status", "where"),
    *("doctor", "demo", "apply", "repository", "registry", "pipeline", "approval", "image", "verdict", "explain"),
    *("waiver", "vex", "policy", "attestation", "deploy", "events", "rule", "target", "delivery"),
    *("principal", "token", "audit", "worker", "store", "gc", "aws", "completion"),
)

root = LazyGroup(
    "dockgate",
    COMMANDS,
    help="Take container images from git push to a running service, and block images that violate your "
    "vulnerability policy.",
    suggestions={
        **{name: f"approval {name}" for name in ("approve", "override", "reject")},
        **{name: f"pipeline {name}" for name in ("logs", "retry", "start", "stop", "wait")},
        "scale": "deploy scale",
        "update": "db update",
    },
)
click.version_option(__version__, message="%(prog)s %(version)s")(root)


def main() -> NoReturn:
    """Run the command and exit: the entry point of `dockgate`."""
    reduce_garbage_collection()
    _open_streams()
    set_missing_home(os.environ, os.path.expanduser("~"))
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(root, {}, "dockgate", COMPLETION, instruction))
    code = run(sys.argv[1:])
    _exit_process(code)


def _open_streams() -> None:
    """Open closed standard streams (`2>&-`): otherwise the next opened file would take their descriptor."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as it runs


def set_missing_home(environment: MutableMapping[str, str], home: str) -> None:
    """Set HOME to / for a user without a home folder, as container engines do. `home` is the expanded "~"."""
    if home == "~":
        environment["HOME"] = "/"


def _exit_process(code: int) -> NoReturn:
    """Exit without waiting for pool threads, whose work the next start repeats, and without freeing objects."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def reduce_garbage_collection() -> None:
    """Collect garbage less often: most objects live to the end, and the default costs a tenth of a scan."""
    gc.set_threshold(100_000, 50, 50)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. Tracebacks are printed only with DOCKGATE_DEBUG=1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        # An object whose constructor was interrupted may fail when it is freed later, which Python reports.
        sys.unraisablehook = lambda _: None
        return INTERRUPT_EXIT
    except Exception as error:
        return _report_unexpected(error)
    return code


def _run(arguments: list[str]) -> int:
    try:
        with root.make_context("dockgate", arguments) as context:
            root.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return DockgateError.exit_code
    except click.UsageError as error:
        command_path = error.ctx.command_path if error.ctx else "dockgate"
        return _print_error(error.format_message(), f"See `{command_path} --help`.")
    except click.ClickException as error:
        return _print_error(error.format_message())
    except click.Abort:
        return INTERRUPT_EXIT
    except DockgateError as error:
        _print_error(str(error), error.next_step)
        return error.exit_code
    return 0


def _report_unexpected(error: Exception) -> int:
    """Print an unexpected error. Those of the operating system (disk full) are not our defects."""
    if os.environ.get("DOCKGATE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.strerror:
        prefix = f"{error.filename}: " if error.filename else ""
        return _print_error(f"{prefix}{error.strerror}")
    return _print_error(
        f"internal error: {type(error).__name__}: {error}",
        "This is a defect of Dockgate. Please report it with the output of DOCKGATE_DEBUG=1.",
    )


def _print_error(message: str, advice: str | None = None) -> int:
    """Print an error with its advice, escaped: messages may quote text from an image or a server."""
    from dockgate.cli.output import print_wrapped
    from dockgate.shared.escaping import clean_text

    first_line, *more_lines = f"error: {message}".splitlines()
    for text in (first_line, *(f"       {line}" for line in (*more_lines, *(advice or "").splitlines()))):
        print_wrapped(clean_text(text), is_error=True)
    return DockgateError.exit_code


def _discard_output() -> None:
    """Redirect standard output to /dev/null: Python flushes it at exit, which would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
