"""The command `dockgate`, and the one place where errors become text and exit codes.

0 approved or done, 1 rejected, 2 wrong use or a fault, 3 undetermined, 130 interrupted, 141 the reader went away.
"""

import gc
import io
import os
import sys
import threading
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import NoReturn

import click

from dockgate import __version__
from dockgate.cli.lazy import LazyGroup
from dockgate.shared.errors import DockgateError

INTERRUPTED = 130
# 128 and the number of SIGINT or SIGPIPE, as shells report them.
READER_GONE = 141

# The variable by which a shell asks for completions; click's own name for it.
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
        "aws": "dockgate.cli.aws",
        "completion": "dockgate.cli.completion",
    },
    help="Takes a container image from git push to a running service, and blocks images that violate your "
    "vulnerability policy.",
    elsewhere={
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
    collect_seldom()
    _open_streams()
    furnish(os.environ, os.path.expanduser("~"))
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(root, {}, "dockgate", COMPLETION, instruction))
    code = run(sys.argv[1:])
    gc.freeze()  # the system takes all of it back anyway
    _leave(code)


def _open_streams() -> None:
    """A caller may have closed some (`2>&-`): what is opened next would take their place, and be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as it runs


def furnish(environment: MutableMapping[str, str], home: str) -> None:
    """Gives a user of whom the system knows no home, as `~` that stays one says, the one that container engines do."""
    if home == "~":
        environment["HOME"] = "/"


def _leave(code: int) -> NoReturn:
    """Python would wait for the threads of pools that are still at work, such as a server's that read an image whose
    registry does not answer. What they do is begun again at the next start."""
    if threading.active_count() > 1:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def collect_seldom() -> None:
    """Nearly all that a command makes lives as long as it: looking for garbage so often takes a tenth of a scan."""
    gc.set_threshold(100_000, 50, 50)


def run(arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit code. No traceback reaches a user who did not ask for one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _failed(error)
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
        return _say(error.format_message(), f"`{where} --help` tells how it is used.")
    except click.ClickException as error:
        return _say(error.format_message(), "")
    except click.Abort:
        return INTERRUPTED
    except DockgateError as error:
        _say(str(error), error.advice)
        return error.exit_code
    return 0


def _failed(error: Exception) -> int:
    """What nobody foresaw. The machine's own refusals (a full disk, no permission) are not defects of ours."""
    if os.environ.get("DOCKGATE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror}", "")
    return _say(
        f"internal fault: {type(error).__name__}: {error}",
        "This is a defect of Dockgate: please report it, with what DOCKGATE_DEBUG=1 prints.",
    )


def _say(message: str, advice: str) -> int:
    """Messages may quote what an image or a server said."""
    from dockgate.cli.output import say
    from dockgate.services.reports import clean

    first, *more = f"error: {message}".splitlines()
    for text in (first, *(f"       {line}" for line in (*more, *advice.splitlines()))):
        say(clean(text), err=True)
    return DockgateError.exit_code


def _forget_output() -> None:
    """Python flushes standard output once more at its end, which would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
