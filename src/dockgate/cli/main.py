"""The command `dockgate`, and the one place where errors become text and exit codes.

Exit codes: 0 approved or done, 1 rejected, 2 wrong usage or an error, 3 undetermined, 130 interrupted, 141 broken pipe.
"""

import gc
import io
import os
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import NoReturn

import click

from dockgate import __version__
from dockgate.cli.lazy_group import LazyGroup
from dockgate.shared.errors import DockgateError

INTERRUPTED = 130
# 128 and the number of SIGINT or SIGPIPE, as shells report them.
BROKEN_PIPE = 141

# The variable with which a shell requests completions; the name is click's.
COMPLETION = "_DOCKGATE_COMPLETE"

root = LazyGroup(
    "dockgate",
    {
        "scan": "dockgate.cli.scan",
        "gate": "dockgate.cli.gate",
        "sbom": "dockgate.cli.sbom",
        "check": "dockgate.cli.check",
        "versions": "dockgate.cli.versions",
        "db": "dockgate.cli.db",
        "up": "dockgate.cli.up",
        "down": "dockgate.cli.down",
        "status": "dockgate.cli.status",
        "doctor": "dockgate.cli.doctor",
        "demo": "dockgate.cli.demo",
        "apply": "dockgate.cli.apply",
        "repository": "dockgate.cli.repository",
        "registry": "dockgate.cli.registry",
        "pipeline": "dockgate.cli.pipeline",
        "approval": "dockgate.cli.approval",
        "image": "dockgate.cli.image",
        "verdict": "dockgate.cli.verdict",
        "explain": "dockgate.cli.explain",
        "waiver": "dockgate.cli.waiver",
        "vex": "dockgate.cli.vex",
        "policy": "dockgate.cli.policy",
        "attestation": "dockgate.cli.attestation",
        "deploy": "dockgate.cli.deploy",
        "principal": "dockgate.cli.principal",
        "token": "dockgate.cli.token",
        "audit": "dockgate.cli.audit",
        "worker": "dockgate.cli.worker",
        "aws": "dockgate.cli.aws",
        "completion": "dockgate.cli.completion",
    },
    help="Take container images from git push to a running service, and block images that violate your "
    "vulnerability policy.",
    suggestions={
        "approve": "approval approve",
        "logs": "pipeline logs",
        "override": "approval override",
        "reject": "approval reject",
        "retry": "pipeline retry",
        "scale": "deploy scale",
        "start": "pipeline start",
        "stop": "pipeline stop",
        "update": "db update",
        "wait": "pipeline wait",
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
    _exit(code)


def _open_streams() -> None:
    """Open closed standard streams (`2>&-`): otherwise the next opened file would take their descriptor."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as it runs


def set_missing_home(environment: MutableMapping[str, str], home: str) -> None:
    """Set HOME to / for a user without a home folder, as container engines do. `home` is the expanded "~"."""
    if home == "~":
        environment["HOME"] = "/"


def _exit(code: int) -> NoReturn:
    """Exit without waiting for pool threads, such as scans of a registry that does not answer.

    The next start repeats their work. The interpreter does not free its objects, which would take some milliseconds.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def reduce_garbage_collection() -> None:
    """Collect garbage less often.

    Most objects live as long as the command, and the default costs a tenth of a scan.
    """
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
        return INTERRUPTED
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
        where = error.ctx.command_path if error.ctx else "dockgate"
        return _print_error(error.format_message(), f"See `{where} --help`.")
    except click.ClickException as error:
        return _print_error(error.format_message(), "")
    except click.Abort:
        return INTERRUPTED
    except DockgateError as error:
        _print_error(str(error), error.advice)
        return error.exit_code
    return 0


def _report_unexpected(error: Exception) -> int:
    """Print an unexpected error.

    Errors of the operating system (disk full, no permission) are not our defects.
    """
    if os.environ.get("DOCKGATE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return _print_error(f"{where}{error.strerror}", "")
    return _print_error(
        f"internal error: {type(error).__name__}: {error}",
        "This is a defect of Dockgate. Please report it with the output of DOCKGATE_DEBUG=1.",
    )


def _print_error(message: str, advice: str) -> int:
    """Print an error with its advice.

    Messages may quote text from an image or a server, so they are escaped.
    """
    from dockgate.cli.output import echo_wrapped
    from dockgate.reports._clean import clean

    first, *more = f"error: {message}".splitlines()
    for text in (first, *(f"       {line}" for line in (*more, *advice.splitlines()))):
        echo_wrapped(clean(text), err=True)
    return DockgateError.exit_code


def _discard_output() -> None:
    """Redirect standard output to /dev/null: Python flushes it at exit, which would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
