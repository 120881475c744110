"""Run git with our configuration only, and with limits of memory, time and output."""

import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from dockgate.shared.errors import TooLargeError, UnavailableError

# For one git command of the server's own.
SECONDS = 600
# Bytes of one git process, without the packs that it maps. A small pack can hold objects of any size.
MAX_MEMORY = 1 << 30
# Bytes of git's output that the server reads.
MAX_OUTPUT = 32 << 20
_MAX_ERRORS = 64 * 1024
_SIZE_ADVICE = "Make the files or the history of the repository smaller."
# How git says that MAX_MEMORY is not enough.
_OUT_OF_MEMORY = b"fatal: Out of memory"
_POLL_SECONDS = 0.1

_CONFIG = {
    "http.receivepack": "true",
    "http.getanyfile": "false",  # the smart protocol alone
    "receive.fsckObjects": "true",
    "gc.autoDetach": "false",  # nothing outlives the command that began it
    "maintenance.autoDetach": "false",
    # so that honest repositories need less than MAX_MEMORY: larger files are streamed
    "core.bigFileThreshold": "32m",
    "pack.threads": "2",
    "pack.windowMemory": "64m",
}


def run(
    *arguments: str,
    input_text: str | None = None,
    variables: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    max_output: int = MAX_OUTPUT,
    check: Callable[[], object] = lambda: None,
) -> str:
    """Run git with `input_text` as its input (None: nothing), and `variables` in its environment.

    Returns its output, unless that goes to the file `output`.

    Raises UnavailableError, caused by a CalledProcessError, if git fails, and TooLargeError if it writes more than
    `max_output` bytes or needs more than MAX_MEMORY. `check` is called several times a second, and ends git by raising.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
        stdin.write((input_text or "").encode())
        stdin.seek(0)
        target = output or stdout
        process = subprocess.Popen(
            make_command(*arguments, max_file=max_output),
            stdin=stdin,
            stdout=target,
            stderr=subprocess.PIPE,
            env={**make_environment(), **(variables or {})},
        )
        try:
            errors = _wait(process, _get_verb(arguments), check)
        finally:
            process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()
        if process.returncode == -signal.SIGXFSZ:
            check()
            raise TooLargeError(
                f"git {_get_verb(arguments)} wrote more than {max_output} bytes and was ended", _SIZE_ADVICE
            )
        if process.returncode and errors.startswith(_OUT_OF_MEMORY):
            raise TooLargeError(
                f"git {_get_verb(arguments)} needs more than {MAX_MEMORY} bytes of memory", _SIZE_ADVICE
            )
        if process.returncode:
            last = errors.decode(errors="replace").strip()
            folder = f" in {Path(arguments[1]).name}" if arguments[0] == "-C" else ""
            raise UnavailableError(
                f"git {_get_verb(arguments)} failed{folder}: {last or f'code {process.returncode}'}"
            ) from subprocess.CalledProcessError(process.returncode, "git")
        if output:
            return ""
        stdout.seek(0)
        # Different bytes stay different: two references must not get one name.
        return stdout.read().decode(errors="backslashreplace")


def _wait(process: subprocess.Popen[bytes], verb: str, check: Callable[[], object]) -> bytes:
    """Wait until git ends, and return the first bytes of its error output."""
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    errors, end = b"", time.monotonic() + SECONDS
    while True:
        if select.select([process.stderr], [], [], _POLL_SECONDS)[0]:
            if not (chunk := os.read(process.stderr.fileno(), _MAX_ERRORS)):
                process.wait()
                return errors
            errors = (errors + chunk)[:_MAX_ERRORS]
        check()
        if time.monotonic() > end:
            raise UnavailableError(
                f"git {verb} did not end within {SECONDS} s",
                "Try again. If it fails again, check the load of the server.",
            )


def make_command(*arguments: str, max_file: int = 0) -> list[str]:
    """The command line of git with its limits. `max_file`: bytes of each file that it writes, 0 for any."""
    if not shutil.which("git"):
        raise UnavailableError("git is not installed", "Install the package git: apt-get install git")
    if not shutil.which("prlimit"):
        raise UnavailableError("prlimit is not installed", "Install util-linux: apt-get install util-linux")
    limits = [f"--data={_lower_to_limit(resource.RLIMIT_DATA, MAX_MEMORY)}", "--core=0"]
    if max_file:
        limits.append(f"--fsize={_lower_to_limit(resource.RLIMIT_FSIZE, max_file)}")
    return ["prlimit", *limits, "--", "git", *arguments]


def _lower_to_limit(kind: int, value: int) -> int:
    """The limit, lowered to what this process may set."""
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _get_verb(arguments: tuple[str, ...]) -> str:
    return arguments[2] if arguments[0] == "-C" else arguments[0]


def make_environment(**extra: str) -> dict[str, str]:
    """Return the environment of git: our configuration only, and no repository of the working directory."""
    settings = {**_CONFIG, **extra}
    config = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        config |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # A pushed refs/replace/… would replace a commit's tree, author or history.
        "GIT_NO_REPLACE_OBJECTS": "1",
        **config,
    }
