"""Run builds in a box: the host's side of `box`.

It needs root; nothing in the box has the host's root rights.
"""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockgate.delivery.builders.failure_reason import find_last_line
from dockgate.delivery.builders.sandbox import box, cgroups, network
from dockgate.delivery.builders.sandbox.output import BuildLog, watch
from dockgate.delivery.builders.sandbox.runner import Job, Limits, Outcome, Paths, Runner
from dockgate.delivery.ports import BuildRequest
from dockgate.shared.errors import BuildError, UnavailableError
from dockgate.shared.interfaces import override

DOCTOR = "`dockgate doctor` names what this host lacks, and how to add it."
# Where programs are, whatever PATH the server was started with.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DETACH_SECONDS = 10.0
# Files of the host that programs need to start, and to trust servers.
_HOST_FILES = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ssl/certs/ca-certificates.crt",
)
# Folders of the disk by their paths in the box.
_FOLDERS = {"storage": "/storage", "tmp": "/tmp", "var-tmp": "/var/tmp", "out": "/out"}  # noqa: S108 - in the box
_NO_SPACE = os.strerror(errno.ENOSPC)
# Python's arguments for the program `box`.
_BOX = (
    *("-I", "-S", "-B", "-c"),
    f"import sys; sys.path.insert(0, {str(Path(box.__file__).parents[4])!r})\n"
    "from dockgate.delivery.builders.sandbox.box import main; main()",
)
_CA_PATH = "/etc/dockgate-ca.pem"
_RESULT = "/out/image.tar"
PODMAN = (
    "podman",
    "--root=/storage",
    "--runroot=/run/containers",
    "--tmpdir=/run/libpod",
    "--cgroup-manager=cgroupfs",
)
# Where an ext4 file system says whether it was unmounted (kernel documentation, filesystems/ext4/super.rst).
_SUPERBLOCK_STATE = 1024 + 0x3A
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"  # noqa: S105 - no password
# What podman and the programs that it starts look for.
_FILES = {
    "/etc/passwd": _PASSWD,
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/hostname": "build\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/resolv.conf": f"nameserver {network.RESOLVER}\n",
    "/etc/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
    "/etc/containers/registries.conf": (
        'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "permissive"\n'
    ),
    "/etc/containers/storage.conf": (
        '[storage]\ndriver = "overlay"\nrunroot = "/run/containers"\ngraphroot = "/storage"\n'
    ),
    "/etc/containers/containers.conf": '[engine]\nevents_logger = "none"\nlock_type = "file"\n',
}


@dataclass(frozen=True, slots=True)
class Ids:
    """The host's ids for builds: a user without a login, and the first of its subordinate ids (subuid(5)).

    There are `count` of the latter.
    """

    user: int
    group: int
    subordinate_users: int
    subordinate_groups: int
    count: int = 65536


class Sandbox(Runner):
    """A runner that isolates builds.

    `folder` identifies the server whose builds these are. `keepers` begins the command lines of programs that end with
    this process. `ids` raises UnavailableError on a host that cannot isolate builds.
    `allowed_networks` and `blocked_networks` are what a build may and may not reach.
    """

    def __init__(
        self,
        folder: Path,
        keepers: Sequence[str],
        ids: Callable[[], Ids],
        limits: Limits,
        allowed_networks: Sequence[str] = (),
        blocked_networks: Sequence[str] = (),
    ) -> None:
        self._keepers = tuple(keepers)
        self._ids = ids
        self.limits = limits
        self._allowed_networks = tuple(allowed_networks)
        self._blocked_networks = tuple(blocked_networks)
        self._name = _make_group_name(folder)

    is_sandboxed = True

    @override
    def make_paths(self, request: BuildRequest, scratch: Path, ca_bundle: Path | None) -> Paths:
        """Return the paths that the commands of a build use."""
        return Paths(PODMAN, "/context", "/scratch", "/out/layout", _RESULT, _CA_PATH)

    @override
    def has_disk(self, folder: Path) -> bool:
        """Return whether the folder has a disk of earlier builds that can be used again."""
        disk = folder / "disk.ext4"
        if not disk.exists() or disk.stat().st_size != self._compute_disk_size():
            return False
        end = time.monotonic() + _DETACH_SECONDS
        while _is_attached(disk):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        with disk.open("rb") as file:
            file.seek(_SUPERBLOCK_STATE)
            (state,) = struct.unpack("<H", file.read(2))
        return bool(state & 1) and not state & 2

    @override
    def make_disk(self, folder: Path) -> None:
        """Make an empty disk for the folder: sparse, and without a journal, since it holds a cache only."""
        disk = folder / "disk.ext4"
        disk.unlink(missing_ok=True)
        with disk.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate(self._compute_disk_size())
        options = ["-O", "^has_journal", "-E", "lazy_itable_init=1", "-m", "0"]
        program = shutil.which("mkfs.ext4", path=PATH)
        if program is None:
            raise UnavailableError("mkfs.ext4 is not installed", DOCTOR)
        result = subprocess.run([program, "-q", "-F", *options, str(disk)], capture_output=True, text=True, check=False)
        if result.returncode:
            disk.unlink()
            raise UnavailableError(f"cannot make a disk for builds: {result.stderr.strip()}", DOCTOR)

    @override
    def run(self, job: Job, folder: Path, log: Callable[[Sequence[str]], None]) -> Outcome:
        """Run a job on the disk of the folder, which the caller has reserved.

        Raises BuildError for a passed limit, UnavailableError if this host cannot make a box.
        """
        root = folder / "root"
        root.mkdir(exist_ok=True)
        groups = cgroups.make(f"{self._name}-{folder.name[:16]}", self.limits.memory, self.limits.processes)
        try:
            plan = self._plan(job, folder, root, [str(group) for group in groups])
            return self._watch(plan, log, groups)
        finally:
            for group in groups:
                cgroups.end(group)

    def _compute_disk_size(self) -> int:
        return self.limits.disk // 2**20 * 2**20

    def _plan(self, job: Job, folder: Path, root: Path, groups: Sequence[str]) -> dict[str, Any]:
        ids = self._ids()
        mounts = [(str(path), target) for path, target in job.read_only]
        mounts += [(os.path.realpath(path), path) for path in _HOST_FILES if Path(path).exists()]
        return {
            "root": str(root),
            "users": [[ids.user, 1], [ids.subordinate_users, ids.count]],
            "groups": [[ids.group, 1], [ids.subordinate_groups, ids.count]],
            "files": _FILES,
            "read_only": mounts,
            "disk": str(folder / "disk.ext4"),
            "folders": _FOLDERS,
            "cgroups": list(groups),
            "pasta": network.make_pasta_command(network.find_loopback_resolver()),
            "rules": network.make_rules(network.list_host_addresses(), self._allowed_networks, self._blocked_networks),
            "commands": [list(command) for command in job.commands],
            "silent": sorted(job.silent),
            "environment": {
                "PATH": PATH,
                "HOME": "/root",
                "TMPDIR": _FOLDERS["var-tmp"],
                "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
                **job.environment,
            },
            "result": _RESULT,
        }

    def _watch(self, plan: dict[str, Any], log: Callable[[Sequence[str]], None], groups: Sequence[Path]) -> Outcome:
        connection, box_connection = socket.socketpair()
        connection.settimeout(_DETACH_SECONDS)
        command = [*self._keepers, sys.executable, *_BOX, str(box_connection.fileno())]
        with connection, box_connection:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env={"PATH": PATH},
                    pass_fds=[box_connection.fileno()],
                    start_new_session=True,
                    umask=0o022,  # what the box is made of is read by the build's user
                )
            except OSError as error:
                raise UnavailableError(f"cannot start {command[0]}: {error.strerror}", DOCTOR) from error
            box_connection.close()

            def kill() -> None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                for group in groups:
                    cgroups.kill(group)

            build_log = BuildLog(log, self.limits.log)
            watch(process, build_log, self.limits.seconds, kill, json.dumps(plan).encode())
            is_out_of_memory = cgroups.has_run_out_of_memory(groups)
            return _receive_outcome(connection, process.returncode, build_log.last_lines, is_out_of_memory, self.limits)


def find_leftovers(folder: Path) -> list[Path]:
    """Return the control groups that builds of this folder left."""
    return cgroups.find_leftovers(_make_group_name(folder))


def end_leftovers(folder: Path) -> None:
    """End everything that builds of this folder left running."""
    for group in find_leftovers(folder):
        cgroups.end(group)


def _make_group_name(folder: Path) -> str:
    return f"dockgate-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


def _receive_outcome(
    channel: socket.socket, code: int, last_lines: str, is_out_of_memory: bool, limits: Limits
) -> Outcome:
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, 65536, 1)
        answer = json.loads(data)
    except (OSError, ValueError):
        answer, descriptors = {"error": f"it ended with code {code}"}, []
    result = os.fdopen(descriptors[0], "rb") if descriptors else None
    if is_out_of_memory and answer.get("code"):
        raise BuildError(
            f"the build needed more than {limits.memory} bytes of memory",
            "DOCKGATE_BUILD_MEMORY on the server raises the limit.",
        )
    if "error" in answer:
        reason = ": ".join(filter(None, (answer["error"], find_last_line(last_lines))))
        raise UnavailableError(f"this host cannot keep a build apart: {reason}", DOCTOR)
    failed_index = answer["failed"] if answer["code"] else None
    # podman deletes what a step wrote before it ends, so the output is used; at worst the repository loses its cache.
    is_full = answer["full"] or (failed_index is not None and _NO_SPACE in last_lines)
    return Outcome(failed_index, last_lines, result, is_full)


def _is_attached(disk: Path) -> bool:
    """Return whether a loop device still uses the file, as for a moment after its last mount."""
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if path.read_text().rstrip("\n") == str(disk):
                return True
    return False


def make_limit_options() -> list[str]:
    """Return options of podman for this process's hard limits, which podman may not exceed."""
    options = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            options.append(f"--ulimit={name}={hard}:{hard}")
    return options
