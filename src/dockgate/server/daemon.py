"""Start a data folder's server in the background, stop it, and purge it, from another process."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dockgate.config import Settings
from dockgate.server import log_tail, podman_service
from dockgate.server.bind_config import read_listen_address
from dockgate.server.private_files import DATA_ENTRIES, restrict
from dockgate.shared.errors import ConflictError, UnavailableError, UsageError

START_SECONDS = 60
STOP_SECONDS = 30


def start(settings: Settings, patience: float = START_SECONDS) -> str | None:
    """Start the server in the background, and return the first administrator's link when it answers.

    Returns None if there is a principal. If the server does not answer within `patience` seconds, it is stopped.
    Raises UnavailableError.
    """
    read_listen_address(settings)
    if _find_running_pid(settings.data) is not None:
        raise ConflictError(f"a server already runs with the data in {settings.data}", "`dockgate down` stops it.")
    restrict(settings.data)
    log = settings.data / "logs" / "server.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_start = log_tail.read_size(log)
    process, links = _launch(settings, log)

    def is_ready() -> bool:
        if process.poll() is not None:
            lines = log_tail.read_last_lines(log, 5, log_start)
            errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
            last = "\n".join(lines[errors[-1] :] if errors else lines)
            raise UnavailableError(f"the server ended with code {process.returncode}:\n{last}", f"See {log}.")
        return _find_running_pid(settings.data) == process.pid

    try:
        with links:
            _wait_until(
                is_ready,
                patience,
                f"the server did not answer within {patience:g} seconds, and was ended; its log is {log}",
            )
            return links.readline().strip() or None
    except BaseException:  # an interrupt of the waiting is meant for the server, too
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _launch(settings: Settings, log: Path) -> "tuple[subprocess.Popen[bytes], IO[str]]":
    """Start the server's process, and return it with what it writes its link to: a pipe, as the link is a secret."""
    reader, writer = os.pipe()
    with log.open("a") as output, os.fdopen(writer, "w"):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dockgate", "up"),
                *("--host", settings.host),
                *("--port", str(settings.port)),
                *("--registry-port", str(settings.registry_port)),
                *("--link-descriptor", str(writer)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[writer],
        )
    return process, os.fdopen(reader)


def stop(settings: Settings, should_purge: bool) -> bool:
    """Stop the server of this data folder. Deployed services keep running.

    With `should_purge`, services and all data are removed, too. Returns whether a server ran.
    """
    pid = _find_running_pid(settings.data)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        _wait_until(lambda: _start_time(pid) is None, STOP_SECONDS, f"the server (process {pid}) does not stop")
    if should_purge and settings.data.exists():
        if not (settings.data / "run" / "lock").exists():
            raise UsageError(
                f"{settings.data} is not a data folder of Dockgate", "Set DOCKGATE_DATA to the one to remove."
            )
        with lock_folder(settings.data / "run" / "lock"):
            podman_service.purge(settings.data)
            for path in [path for pattern in DATA_ENTRIES for path in settings.data.glob(pattern)]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with suppress(OSError):  # it also holds files of others
            settings.data.rmdir()
    return pid is not None


@contextmanager
def lock_folder(lock: Path) -> Iterator[None]:
    """Lock the data folder for one server: two would do every step twice."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"another server runs with the data in {lock.parent.parent}",
                "Stop it with `dockgate down`, or set DOCKGATE_DATA.",
            ) from None
        yield


def make_identity(url: str) -> str:
    """Return the content of `run/server.json`, by which other processes find this one."""
    return json.dumps({"pid": os.getpid(), "url": url, "started": _start_time(os.getpid())})


def _start_time(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks (proc(5), field 22), None if there is no such process.

    Process ids are reused; the id together with the start time is unique.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _find_running_pid(data: Path) -> int | None:
    """Return the server of this data folder, None if none runs."""
    try:
        status = json.loads((data / "run" / "server.json").read_text())
    except (OSError, ValueError):
        return None
    pid = int(status["pid"])
    return pid if _start_time(pid) == status["started"] else None


def _wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise UnavailableError(otherwise, "See logs/server.log in the data folder.")
        time.sleep(0.1)
