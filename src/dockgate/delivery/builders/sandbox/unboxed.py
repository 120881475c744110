"""Run builds on the host itself, as root, without a box.

For hosts on which every committer may be root.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dockgate.delivery.builders.sandbox.output import BuildLog, watch
from dockgate.delivery.builders.sandbox.runner import Job, Limits, Outcome, Paths, Runner
from dockgate.delivery.ports import BuildRequest
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override


class Host(Runner):
    """A runner of builds without a sandbox. Of the limits only time and log apply.

    `command` begins podman's command lines, best one that ends with the server; `environment` is all that it gets.
    """

    is_sandboxed = False

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], limits: Limits) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self.limits = limits

    @override
    def has_disk(self, folder: Path) -> bool:
        """Return False, so that bases are always loaded.

        All repositories share the host's storage, which others may change.
        """
        return False

    @override
    def make_disk(self, folder: Path) -> None:
        """Do nothing: builds on the host have no disk of their own."""

    @override
    def make_paths(self, request: BuildRequest, scratch: Path, ca_bundle: Path | None) -> Paths:
        """Return the paths that the commands of a build use."""
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

    @override
    def run(self, job: Job, folder: Path, log: Callable[[Sequence[str]], None]) -> Outcome:
        """Run the commands. Raises BuildError when they take too long or write too much."""
        build_log = BuildLog(log, self.limits.log)
        options = (part for command in job.commands if command[0] == "tar" for part in command)
        archive = next((part.partition("=")[2] for part in options if part.startswith("--file=")), "")
        for index, command in enumerate(job.commands):
            environment = {**self._environment, **job.environment}
            code = self._run(command, environment, None if index in job.silent else build_log)
            if code:
                return Outcome(index, build_log.last_lines)
        return Outcome(None, build_log.last_lines, Path(archive).open("rb"))

    def _run(self, command: Sequence[str], environment: Mapping[str, str], log: BuildLog | None) -> int:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                umask=0o022,  # modes are part of what is built
            )
        except FileNotFoundError as error:
            raise UnavailableError(
                f"the program {error.filename} is not installed", "Install it: apt-get install podman util-linux"
            ) from error

        def kill() -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        watch(process, log, self.limits.seconds, kill)
        return process.returncode
