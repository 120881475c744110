"""The checks of `dockgate doctor`: everything that `dockgate up` and its builds need of this host."""

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dockgate.config import Settings
from dockgate.delivery.builders import build_host
from dockgate.delivery.builders.sandbox import cgroups
from dockgate.delivery.builders.sandbox.runner import Job, Limits
from dockgate.delivery.builders.sandbox.sandbox import PATH, Sandbox
from dockgate.server.supervisor import end_with_thread
from dockgate.shared.addresses import LOOPBACK
from dockgate.shared.errors import DockgateError
from dockgate.shared.folder_mark import read_mark
from dockgate.shared.wording import shorten_text
from dockgate.store import read_folder_owner
from dockgate.store.engine import Database

# Program, Debian package, what needs it, how it is asked for its version.
_PROGRAMS = (
    ("git", "git", "server", ("--version",)),
    ("docker-registry", "docker-registry", "server", ("--version",)),
    ("podman", "podman", "server", ("--version",)),
    ("setpriv", "util-linux", "server", ("--version",)),
    ("conmon", "conmon", "deploys", ("--version",)),
    ("nft", "nftables", "deploys", ("--version",)),
    ("pasta", "passt", "builds", ("--version",)),
    ("mkfs.ext4", "e2fsprogs", "builds", ("-V",)),
    ("mount", "mount", "builds", ("--version",)),
)
_HELPERS = Path("/usr/lib/podman"), Path("/usr/libexec/podman")
_OLDEST_PODMAN = (4, 3)
# Characters of a version.
_LONGEST = 60
# Bytes; a server that has less cannot keep an image of usual size.
_FREE = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check of the host.

    `needed_for` is "server", "builds" or "deploys", `advice` says how to add what is missing, or None.
    """

    name: str
    is_ok: bool
    detail: str
    needed_for: str
    advice: str | None = None


def examine(settings: Settings) -> Iterator[Check]:
    """Run every check, in the order of the output."""
    yield _check_python()
    for program, package, needed_for, question in _PROGRAMS:
        yield _check_program(program, package, needed_for, question)
    yield _check_runtime()
    yield _check_network_helper()
    yield from _check_builds(settings)
    yield _check_data(settings)
    owner = None
    if settings.database_url is not None:
        check, owner = _check_database(settings.database_url)
        yield check
    if settings.shared_folder is not None:
        yield _check_shared_folder(settings.shared_folder, owner)
    yield _check_disk(settings)
    for name, port, variable in (
        ("port of the server", settings.port, "DOCKGATE_PORT"),
        ("port of the registry", settings.registry_port, "DOCKGATE_REGISTRY_PORT"),
    ):
        yield _check_port(name, port, variable, settings)


def _check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), version, "server", "Use Python 3.11 or newer.")


def _check_program(program: str, package: str, needed_for: str, question: tuple[str, ...]) -> Check:
    advice = f"apt-get install {package}"
    path = shutil.which(program, path=PATH) or shutil.which(program)
    if path is None:
        return Check(program, False, "not installed", needed_for, advice)
    try:
        result = subprocess.run(
            [path, *question], capture_output=True, text=True, errors="replace", check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(program, False, f"{path} does not run: {error}", needed_for, advice)
    lines = (result.stdout + result.stderr).strip().splitlines()
    version = shorten_text(lines[0].strip(), _LONGEST) if lines else path
    if program == "podman" and _parse_version(version) < _OLDEST_PODMAN:
        return Check(program, False, version, needed_for, "Install podman 4.3 or newer.")
    return Check(program, True, version, needed_for)


def _parse_version(text: str) -> tuple[int, ...]:
    """Parse "podman version 5.4.2" to (5, 4, 2); () for anything else."""
    numbers = text.split()[-1].split(".") if text else []
    return tuple(int(number) for number in numbers if number.isdecimal())


def _check_runtime() -> Check:
    runtimes = [name for name in ("crun", "runc") if shutil.which(name, path=PATH)]
    return Check(
        "OCI runtime", bool(runtimes), ", ".join(runtimes) or "not installed", "deploys", "apt-get install crun runc"
    )


def _check_network_helper() -> Check:
    helpers = [folder / "netavark" for folder in _HELPERS if (folder / "netavark").exists()]
    detail = str(helpers[0]) if helpers else "not installed"
    return Check("netavark", bool(helpers), detail, "deploys", "apt-get install netavark aardvark-dns")


def _check_builds(settings: Settings) -> Iterator[Check]:
    if settings.can_build_unsafely:
        advice = "Unset DOCKGATE_UNSAFE_BUILDS."
        yield Check("builds", False, "run as root on this host, without a sandbox", "builds", advice)
    lacks = build_host.find_missing()
    lack_names = {lack.name for lack in lacks}
    programs = {f"{program} is not installed" for program in build_host.PROGRAMS}
    for lack in lacks:
        if lack.name not in programs:  # those have a line of their own
            yield Check("build sandbox", False, lack.name, "builds", lack.advice)
    if not lack_names:
        kind = "version 2" if cgroups.is_unified() else "version 1"
        ids = build_host.read_ids()
        yield Check("build user", True, f"{build_host.USER}, user id {ids.user}", "builds")
        first, last = ids.subordinate_users, ids.subordinate_users + ids.count - 1
        yield Check("subordinate ids", True, f"{first}-{last}", "builds")
        yield Check("control groups", True, f"{kind}, memory and pids", "builds")
        yield _check_sandbox()


def _check_sandbox() -> Check:
    """Run a command in a small sandbox: a kernel's policies may forbid it even if every part is installed."""
    with tempfile.TemporaryDirectory(prefix="dockgate-doctor-") as folder:
        path = Path(folder)
        limits = Limits(seconds=60, memory=2**28, processes=128, disk=2**25)
        try:
            sandbox = Sandbox(path, end_with_thread("KILL", ()), build_host.read_ids, limits)
            sandbox.make_disk(path)
            outcome = sandbox.run(Job([["podman", "--version"]], []), path, lambda lines: None)
        except DockgateError as error:
            return Check("build sandbox", False, str(error), "builds", error.advice)
    if outcome.failed_command is None:
        return Check("build sandbox", True, "works", "builds")
    advice = "See the error. DOCKGATE_UNSAFE_BUILDS=1 builds without a sandbox."
    return Check("build sandbox", False, outcome.last_lines, "builds", advice)


def _check_data(settings: Settings) -> Check:
    """Check that only the server can read the data folder, which contains keys."""
    folder = settings.data
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = "Run as another user, or set DOCKGATE_DATA."
        return Check("data folder", False, f"{existing} cannot be written", "server", advice)
    if existing == folder:
        status = folder.stat()
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            return Check("data folder", False, f"{folder} has mode {mode:04o}", "server", f"chmod 700 {folder}")
        if status.st_uid != os.geteuid():
            detail = f"{folder} belongs to user {status.st_uid}"
            return Check("data folder", False, detail, "server", f"Run as user {status.st_uid}.")
    return Check("data folder", True, str(folder), "server")


def _check_database(url: str) -> tuple[Check, str | None]:
    """Check that the database answers. Nothing in it changes.

    Returns also the store whose files the shared folder has to contain; None if no folder has them yet.
    """
    try:
        database = Database.from_url(url)
        try:
            database.ping()
            owner = read_folder_owner(database)
        finally:
            database.close()
    except DockgateError as error:
        return Check("database", False, str(error), "server", error.advice), None
    return Check("database", True, database.name, "server"), owner


def _check_shared_folder(folder: Path, owner: str | None) -> Check:
    """Check that this host can write to the folder that all hosts share, and that it contains the owner's files."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        marked_owner = read_mark(folder)
    except OSError as error:
        advice = "Mount it, and let the server's user write to it, or change DOCKGATE_SHARED."
        return Check("shared folder", False, f"{folder}: {error.strerror}", "server", advice)
    if owner is not None and marked_owner != owner:
        advice = "Mount the folder of the other servers, or set DOCKGATE_SHARED to it."
        detail = f"{folder} does not contain the files of this database"
        return Check("shared folder", False, detail, "server", advice)
    return Check("shared folder", True, str(folder) if marked_owner else f"{folder}, not used yet", "server")


def _check_disk(settings: Settings) -> Check:
    existing = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    advice = f"Free some space below {existing}, or set DOCKGATE_DATA."
    return Check("free disk", free >= _FREE, f"{free / 2**30:.1f} GiB", "server", advice)


def _check_port(name: str, port: int, variable: str, settings: Settings) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if _is_served(settings.data):
                return Check(name, True, f"{port}, used by the server of this data folder", "server")
            advice = f"Stop what uses it, or set {variable}."
            return Check(name, False, f"{port}: {error.strerror}", "server", advice)
    return Check(name, True, f"{port} is free", "server")


def _is_served(data: Path) -> bool:
    """Return whether a server has the lock of the data folder."""
    try:
        with (data / "run" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
