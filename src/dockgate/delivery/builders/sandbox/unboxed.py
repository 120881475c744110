"""Builds on the host itself, as root, without a box: for hosts whose every committer may be root on them."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dockgate.delivery.builders.sandbox.sandbox import LINE_COST, Job, Limits, Outcome, Paths
from dockgate.delivery.ports import BuildRequest
from dockgate.shared.errors import BuildError, UnavailableError

_LAST_LINES = 12
_LONGEST_LINE = 16 * 1024


class Host:
    """A `podman.Runner`.

    `command` begins podman's command lines, best ones that end with the server; `environment` is whole. Of the limits
    only time and log hold.
    """

    is_sandboxed = False

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], limits: Limits) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self.limits = limits

    def has_disk(self, folder: Path) -> bool:
        """All repositories share the host's storage, which others may change: bases are always loaded."""
        return False

    def make_disk(self, folder: Path) -> None:
        """There is none."""

    def paths(self, request: BuildRequest, scratch: Path, ca_bundle: Path | None) -> Paths:
        """Where the commands of a build find what they need."""
        tag = f"localhost/dockgate-build/{request.repository}:latest"
        return Paths(
            self._command,
            str(request.context),
            str(scratch),
            str(scratch / "layout"),
            str(scratch / "image.tar"),
            str(ca_bundle or ""),
            tag,
        )

    def run(self, job: Job, folder: Path, log: Callable[[str], None]) -> Outcome:
        """Run the commands. Raises BuildError when they take too long or write too much."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        size = 0
        options = (part for command in job.commands if command[0] == "tar" for part in command)
        archive = next((part.partition("=")[2] for part in options if part.startswith("--file=")), "")

        def take(line: str) -> bool:
            nonlocal size
            size += max(len(line), LINE_COST)
            last.append(line)
            log(line)
            return size <= self.limits.log

        for index, command in enumerate(job.commands):
            code = self._run(command, {**self._environment, **job.environment}, take, index in job.silent)
            if code:
                return Outcome(index, code, "\n".join(last))
        return Outcome(None, 0, "\n".join(last), Path(archive).open("rb"))

    def _run(
        self, command: Sequence[str], environment: Mapping[str, str], take: Callable[[str], bool], is_silent: bool
    ) -> int:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=dict(environment),
                start_new_session=True,
                umask=0o022,  # modes are part of what is built
            )
        except FileNotFoundError as error:
            raise UnavailableError(
                f"the program {error.filename} is not installed", "Install it: apt-get install podman util-linux"
            ) from error
        passed: list[str] = []

        def stop(reason: str) -> None:
            passed.append(reason)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        late = threading.Timer(self.limits.seconds, stop, [f"the build took longer than {self.limits.seconds:g} s"])
        late.start()
        try:
            with process:
                output = process.stdout
                assert output is not None  # noqa: S101 - it is a pipe
                try:
                    for line in iter(lambda: output.readline(_LONGEST_LINE), ""):
                        if not is_silent and not take(line.rstrip("\n")) and not passed:
                            stop(f"the build wrote more than {self.limits.log} bytes of log")
                except BaseException:
                    stop("")
                    raise
        finally:
            late.cancel()
        if passed:
            raise BuildError(passed[0], "Ask who runs the server to raise the limit, or make the build smaller.")
        return process.returncode
