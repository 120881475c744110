"""Supervise programs that run beside the server.

They are started again when they die, and gone when the server is.
"""

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dockgate.server import log_tail
from dockgate.shared.errors import UnavailableError
from dockgate.shared.retry import RetrySchedule

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
# Before a program that died is started again.
RESTARTS = RetrySchedule(first_pause=0.1, longest_pause=10)
# A program that ran as long starts over with the first pause.
STEADY_SECONDS = 60.0
_POLL_SECONDS = 0.02

_log = logging.getLogger(__name__)


def find(program: str, package: str) -> str:
    """Find a program. Raises UnavailableError naming the Debian package that brings it."""
    path = shutil.which(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed", f"Install it: apt-get install {package}")
    return path


def end_with_thread(signal: str, command: Sequence[str]) -> tuple[str, ...]:
    """The command, ended by the kernel when the *thread* that started it ends.

    That is PR_SET_PDEATHSIG (prctl(2)); it also happens when our process is killed.
    """
    return (find("setpriv", "util-linux"), "--pdeathsig", signal, "--", *command)


class ChildProcess:
    """One program. `ready` says whether it answers; what it prints goes to the file `log`.

    A thread of its own starts it and waits for it, and lives as long as it does: see `end_with_thread`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        ready: Callable[[], bool],
        umask: int = -1,
        folder: Path | None = None,
    ) -> None:
        """`umask` -1 leaves the program our own, `folder` None our working folder."""
        self.name = name
        self._command = end_with_thread("TERM", command)
        self._environment = dict(environment)
        self._log = log
        self._log_start = 0
        self._ready = ready
        self._umask = umask
        self._folder = folder
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    @property
    def pid(self) -> int | None:
        """The id of the process that runs now, None between two."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    def start(self) -> None:
        """Start the program, and return when it is ready.

        Raises UnavailableError with its last words when it ends instead, or is not ready in time.
        """
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_start = log_tail.read_size(self._log)
        self._thread.start()
        end = time.monotonic() + READY_SECONDS
        while (process := self._process) is None or not self._ready():
            has_died = process is not None and process.returncode is not None
            if has_died or time.monotonic() > end or not self._thread.is_alive():
                self.stop()
                problem = "ended at once" if has_died else f"was not ready within {READY_SECONDS:.0f} s"
                raise UnavailableError(f"{self.name} {problem}: {self._describe_last_output()}", f"See {self._log}.")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask the program to end, and end it if it does not."""
        self._stop.set()
        self._end()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join()

    def restart(self) -> None:
        """End the program, and return when its successor is ready.

        UnavailableError when it is not ready in time.
        """
        self._log_start = log_tail.read_size(self._log)
        process = self._end()
        end = time.monotonic() + READY_SECONDS
        while self._process is process or not self._ready():
            if time.monotonic() > end or not self._thread.is_alive():
                raise UnavailableError(
                    f"{self.name} is not ready again: {self._describe_last_output()}", f"See {self._log}."
                )
            time.sleep(_POLL_SECONDS)

    def _end(self) -> subprocess.Popen[bytes] | None:
        """End the present process, and return it."""
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        return process

    def _keep(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                code: int | str = self._run()
            except OSError as error:
                code = str(error)
            if self._stop.is_set():
                return
            failures = 1 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            pause = RESTARTS.compute_pause(failures)
            _log.warning("%s ended (%s); it starts again in %.1f s. See %s.", self.name, code, pause, self._log)
            self._stop.wait(pause)

    def _run(self) -> int:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=self._umask,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C is for the server: it stops its children itself, in order
            )
        self._process = process
        if self._stop.is_set():  # `stop` may have looked before there was a process
            process.terminate()
        return process.wait()

    def _describe_last_output(self) -> str:
        return " / ".join(log_tail.read_last_lines(self._log, 3, self._log_start)) or "it printed nothing"
