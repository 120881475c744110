"""podman with storage and configuration of its own, and its service.

Builder and target use them.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockgate.delivery.builders import build_host
from dockgate.delivery.builders.sandbox.runner import Limits, Runner
from dockgate.delivery.builders.sandbox.sandbox import Sandbox, end_leftovers
from dockgate.delivery.builders.sandbox.unboxed import Host
from dockgate.server import task_network
from dockgate.server.supervisor import ChildProcess, end_with_thread, find
from dockgate.shared.errors import UnavailableError

# The OCI runtimes that podman is packaged with, its own favourite first.
_RUNTIMES = ("crun", "runc")
# How podman ends when a container was set up whole, and only its command was missing.
_NOT_FOUND = 127
_TIMEOUT = 120.0
# unix(7): sun_path has 108 bytes with its end.
_LONGEST_SOCKET = 107
# The first podman that knows CONTAINERS_CONF_OVERRIDE and names the interface of a network.
_OVERRIDES = (4, 4)
# The folder of what builds keep.
_BUILDS = "builds"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Podman:
    """The call of podman: `command` begins every command line, `environment` is complete.

    `folder` contains all its data, `socket` is its service's address, `version` its major and minor version.
    """

    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    socket: Path
    version: tuple[int, int]

    @property
    def url(self) -> str:
        """The service's address as the client library expects it."""
        return f"unix://{self.socket}"

    @property
    def network(self) -> str:
        """Return the bridge network of the services, which `prepare` makes.

        Its interface usually has the same name.
        """
        file = find_network_file(self.folder)
        assert file is not None  # noqa: S101 - see above
        return file.stem

    def run(self, *arguments: str) -> str:
        """Run one podman command and return its standard output. Raises UnavailableError with its last lines."""
        result = self.try_run(*arguments)
        if result.returncode:
            raise UnavailableError(
                f"podman {arguments[0]} failed: {result.stderr.strip() or f'code {result.returncode}'}",
                f"By hand: {' '.join([*self.command, *arguments])}",
            )
        return result.stdout

    def try_run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one podman command, and return its result with any exit code."""
        try:
            return subprocess.run(
                [*self.command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=dict(self.environment),
                timeout=_TIMEOUT,
                check=False,
                umask=0o022,  # containers see modes
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(
                f"podman {arguments[0]} did not end within {_TIMEOUT:.0f} s", "Check podman with `podman info`."
            ) from None


def find_network_file(folder: Path) -> Path | None:
    """Return podman's file of the services' network, None before `prepare`."""
    return next((folder / "networks").glob("*.json"), None)


def prepare(data: Path, registry: str) -> Podman:
    """Write podman's configuration into `data/podman`, with an OCI runtime that works on this host.

    Only `registry` ("127.0.0.1:5000") may be used without TLS. Raises UnavailableError that names the missing package,
    or, if no runtime works, with podman's message.
    """
    podman = _make_podman(data)
    if len(os.fsencode(podman.socket)) > _LONGEST_SOCKET:
        raise UnavailableError(
            f"the path of the socket {podman.socket} is too long", "Set DOCKGATE_DATA to a shorter path."
        )
    podman.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _forget_other_boot(podman.folder)
    end_leftovers(get_build_folder(podman))
    _empty(podman.folder / "scratch")
    (podman.folder / "registries.conf").write_text(_make_registries_file(registry), encoding="utf-8")
    _choose_runtime(podman)
    if network_file := find_network_file(podman.folder):
        task_network.reject_metadata(network_file)
    return podman


def make_service(podman: Podman, data: Path) -> ChildProcess:
    """Return `podman system service`, not started. The containers that it starts outlive it."""
    podman.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return ChildProcess(
        "podman's service",
        [*podman.command, "system", "service", "--time=0", podman.url],
        podman.environment,
        data / "logs" / "podman.log",
        lambda: _can_connect(podman.socket),
        umask=0o022,  # containers see modes
        folder=podman.folder / "scratch",  # conmon leaves a file "oom" in it when a task needs too much memory
    )


def get_build_folder(podman: Podman) -> Path:
    """Return the folder of the builds' data."""
    return podman.folder / _BUILDS


def make_runner(
    podman: Podman, limits: Limits, allowed_networks: Sequence[str], blocked_networks: Sequence[str], is_unsafe: bool
) -> Runner:
    """Return what builds run in: a sandbox, or, if `is_unsafe`, the host itself."""
    if is_unsafe:
        return Host(end_with_thread("KILL", podman.command), podman.environment, limits)
    return Sandbox(
        get_build_folder(podman),
        end_with_thread("KILL", ()),
        build_host.read_ids,
        limits,
        allowed_networks,
        blocked_networks,
    )


def find_ca_mount(podman: Podman) -> str:
    """The paths at which a build finds the host's certificates.

    podman mounts a file of its own at the first path, and removes only that mount point afterwards; an older podman
    does so even over our mount. So our mount has another path, which remains in the image as an empty file.
    """
    return "/run/.containerenv" if podman.version >= (5, 0) else "/run/dockgate-ca.pem"


def purge(data: Path) -> None:
    """Remove every container, image, network and mount of this data folder, and podman's storage.

    Does nothing without podman's storage.
    """
    folder = data / "podman"
    if not folder.exists():
        return
    _forget_other_boot(folder)
    if (folder / "containers.conf").exists():  # else nothing was ever run
        podman = _make_podman(data)
        podman.run("rm", "--all", "--force", "--volumes", "--time=0")
        if network_file := find_network_file(folder):
            podman.run("network", "rm", "--force", network_file.stem)
            task_network.remove_rules(network_file)
    end_leftovers(folder / _BUILDS)
    _end_monitors(folder)
    _unmount(folder)
    shutil.rmtree(folder)


def _make_podman(data: Path) -> Podman:
    program = find("podman", "podman")
    version = _read_version(program)
    folder = data / "podman"
    # What would lead podman elsewhere stays out, and so do our own settings, which may hold secrets.
    strange = ("CONTAINER", "BUILDAH_", "STORAGE_", "DOCKER_HOST", "DOCKGATE_")
    return Podman(
        folder,
        (
            program,
            f"--root={folder / 'storage'}",
            f"--runroot={folder / 'run'}",
            f"--tmpdir={folder / 'tmp'}",
            f"--network-config-dir={folder / 'networks'}",
        ),
        {
            **{key: value for key, value in os.environ.items() if not key.startswith(strange)},
            # An older podman cannot put ours above the host's own configuration: there it takes its place.
            "CONTAINERS_CONF_OVERRIDE" if version >= _OVERRIDES else "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            "TMPDIR": str(folder / "scratch"),
        },
        data / "run" / "podman.sock",
        version,
    )


def _read_version(program: str) -> tuple[int, int]:
    """Parse "podman version 5.4.2" to (5, 4)."""
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    try:
        major, minor = output.split()[-1].split(".")[:2]
        return int(major), int(minor)
    except (IndexError, ValueError):
        raise UnavailableError(f"{program} prints no version: {output!r}", "Install podman 4.3 or newer.") from None


def _empty(folder: Path) -> None:
    """Make the folder, or delete what is in it.

    It is not replaced: the conmon processes of running tasks have it as their working folder, and could not start their
    task again in one that is deleted.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _forget_other_boot(folder: Path) -> None:
    """Delete folders that are from an earlier boot: podman expects a boot to empty them, and refuses to run."""
    boot, seen_file = _BOOT.read_text(), folder / "boot"
    if not seen_file.exists() or seen_file.read_text() != boot:
        for name in ("run", "tmp"):
            shutil.rmtree(folder / name, ignore_errors=True)
        seen_file.write_text(boot)


def _choose_runtime(podman: Podman) -> None:
    """Write the first OCI runtime that works on this host into the configuration.

    Each is tried: with hybrid cgroups, for example, crun fails and runc works.
    """
    refusals = []
    installed_runtimes = [name for name in _RUNTIMES if shutil.which(name)]
    for runtime in installed_runtimes:
        (podman.folder / "containers.conf").write_text(_make_configuration(runtime), encoding="utf-8")
        _make_network(podman)
        # A container needs no image to be tried: in an empty folder everything can be set up but the command found.
        with tempfile.TemporaryDirectory(dir=podman.folder / "scratch") as empty:
            options = ("--rm", "--replace", "--name=dockgate-probe", f"--network={podman.network}")
            result = podman.try_run("run", *options, "--rootfs", empty, "/nothing")
        if result.returncode == _NOT_FOUND:
            return
        refusals.append(f"{runtime}: {result.stderr.strip()}")
    if not installed_runtimes:
        raise UnavailableError("podman has no OCI runtime here", "Install one: apt-get install crun runc")
    advice = "Install what containers need: apt-get install crun runc conmon netavark nftables"
    raise UnavailableError("podman cannot run containers here: " + "; ".join(refusals), advice)


def _make_network(podman: Podman) -> None:
    """Create the network of this data folder.

    podman keeps subnets apart only within one configuration, and each data folder has its own; its table of addresses,
    by network name, is shared by the whole host. So name, interface and subnet are derived from the folder's path.
    """
    if find_network_file(podman.folder) is not None:
        return
    error_text = ""
    for attempt in range(8):
        folder_hash = hashlib.sha256(f"{attempt} {podman.folder}".encode()).digest()
        number = int.from_bytes(folder_hash[:2], "big") % (128 * 256)
        name, subnet = f"dockgate{number:04x}", f"10.{89 + number // 256}.{number % 256}.0/24"
        interface = [f"--interface-name={name}"] if podman.version >= _OVERRIDES else []
        result = podman.try_run("network", "create", "--disable-dns", f"--subnet={subnet}", *interface, name)
        if result.returncode == 0:
            return
        error_text = result.stderr.strip()
    raise UnavailableError(
        f"podman cannot make a network: {error_text}", "Install what it needs: apt-get install netavark nftables"
    )


def _make_configuration(runtime: str) -> str:
    """Write containers.conf(5), which overrides the host's.

    Limits of each process are inherited: podman's defaults exceed what a host with low hard limits allows. The number
    of a task's processes is limited whatever the host's own configuration says. Locks are files: podman's default lock
    table is shared by all storages of a host. Events are not recorded: we cannot clean up the journal, and a file would
    grow without end. The exit delay is how many seconds conmon stays after a command in a container, such as a health
    check, has ended.
    """
    limits = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            limits.append(f"{name}={hard}:{hard}")
    return (
        "[containers]\n"
        f"default_ulimits = {json.dumps(limits)}\n"
        "http_proxy = false\n"
        "pids_limit = 2048\n"
        'log_driver = "k8s-file"\n'
        "log_size_max = 16777216\n"
        "[engine]\n"
        f'runtime = "{runtime}"\n'
        'lock_type = "file"\n'
        'events_logger = "none"\n'
        "exit_command_delay = 10\n"
    )


def _make_registries_file(address: str) -> str:
    """Return the host's containers-registries.conf(5), followed by ours."""
    host = Path("/etc/containers/registries.conf")
    text = host.read_text(encoding="utf-8") if host.exists() else ""
    return f'{text}\n[[registry]]\nlocation = "{address}"\ninsecure = true\n'


def _end_monitors(folder: Path) -> None:
    """End the conmon processes of this data folder.

    Those of a command in a container outlive it, and would finally call podman, which would create its folders again.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program, *arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if program.endswith(b"conmon") and any(
            argument.startswith(os.fsencode(folder) + b"/") for argument in arguments
        ):
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


def _unmount(folder: Path) -> None:
    """Unmount everything below a folder.

    podman may still be cleaning up a container, so a mount can disappear meanwhile; only one that remains is an error.
    """
    for mount in _list_mounts(folder):
        result = subprocess.run(["umount", "--lazy", mount], capture_output=True, text=True, check=False)
        if result.returncode and mount in _list_mounts(folder):
            raise UnavailableError(f"cannot unmount {mount}: {result.stderr.strip()}", "See what still uses it: lsof.")


def _list_mounts(folder: Path) -> list[str]:
    """The mount points below a folder, the deepest first (proc_pid_mountinfo(5), field 5)."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), key=len, reverse=True)


def _can_connect(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
