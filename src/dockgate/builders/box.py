"""Run commands in a box: their own user, process, mount, network, IPC and host name namespaces.

A program of its own (`python3 -I -S box.py DESCRIPTOR`, as root), so that nothing of the server is in its memory.
Standard library only. It reads a plan as JSON from standard input (`sandbox.Sandbox` writes it), and answers with one
JSON message on the socket DESCRIPTOR: {"code": 0, "failed": null, "full": false} when the commands were run, and beside
it the descriptor of the file that they wrote; or {"error": "…"} when the box could not be made.

Four processes, each ended by the kernel with the one above it (PR_SET_PDEATHSIG):
- `keeper`: root on the host. Enters the control groups, makes the root folder of the box, opens the result.
- `holder`: root in user namespace 1 alone. Starts pasta, which connects network namespace 1.
- `member`: root in user namespace 2, which lies in 1 without its root: nothing in it can change the network, its rules
  or its kernel parameters, or reach pasta.
- `first`: process 1 of the box, with few capabilities. Runs the commands, one after another.
"""

import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24

_CAPABILITIES = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 21, 31))
"""what podman needs in its user namespace: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
net_bind_service, sys_chroot, sys_admin, setfcap (linux/capability.h)"""
_LAST_CAPABILITY = 63
_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
"""name, major and minor number (kernel documentation, admin-guide/devices.txt)"""

_libc = ctypes.CDLL(None, use_errno=True)


class BoxError(Exception):
    """The box could not be made."""


# --- system calls --------------------------------------------------------------------------------------------------


def _check(result: int, what: str) -> None:
    if result:
        raise BoxError(f"{what}: {os.strerror(ctypes.get_errno())}")


def _unshare(flags: int, what: str) -> None:
    _check(_libc.unshare(flags), f"cannot make a new {what} namespace")


def mount(source: str, target: str | Path, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises BoxError."""
    arguments = [source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()]
    _check(_libc.mount(*arguments), f"cannot mount {kind or source} on {target}")


def bind(source: str | Path, target: str | Path, flags: int = _MS_RDONLY) -> None:
    """Show a file or a folder at another path. Flags of a bind mount take a second call (mount(2))."""
    path = Path(target)
    if Path(source).is_dir():
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mount(str(source), target, "", _MS_BIND)
    mount("", target, "", _MS_REMOUNT | _MS_BIND | _MS_NOSUID | _MS_NODEV | flags)


def _end_with_parent(parent: int) -> None:
    """After any change of user, which takes the setting back."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)  # it ended before the setting was made


# --- steps between processes ---------------------------------------------------------------------------------------


class Gate:
    """Lets one process wait until another has reached a step. Raises BoxError when that has ended instead."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def open(self) -> None:
        os.write(self._write, b".")

    def wait(self) -> None:
        """To be called in one process alone."""
        os.close(self._write)
        if not os.read(self._read, 1):
            raise BoxError("a process of the box ended too early")


def fork(function: Callable[[], int]) -> int:
    """The id of a new process that runs the function, and ends with the code that it returns."""
    child = os.fork()
    if child:
        return child
    code = 125
    try:
        code = function()
    except BaseException as error:  # nothing may escape into the code of the process above
        os.write(2, f"box: {error}\n".encode(errors="replace"))
    os._exit(code)


def code_of(child: int) -> int:
    """The exit code of a child, or 128 and the number of the signal that ended it."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


# --- the root folder of the box ------------------------------------------------------------------------------------


def make_root(plan: Mapping[str, Any]) -> Path:
    """A tmpfs that holds the host's programs, read only, the devices that programs expect, and what the plan names."""
    root = Path(plan["root"])
    # Without flags, and writable by the host's root alone: podman takes flags away from this mount, or fails.
    mount("tmpfs", root, "tmpfs", 0, "size=64m,nr_inodes=16384,mode=755")
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            bind(source, root / name)
    _make_devices(root / "dev")
    for name in ("proc", "sys", "run", "tmp", "var", "etc", "root"):
        (root / name).mkdir(exist_ok=True)
    mount("tmpfs", root / "run", "tmpfs", _MS_NOSUID | _MS_NODEV, f"size=64m,mode=755,{_owner(plan)}")
    mount("tmpfs", root / "root", "tmpfs", _MS_NOSUID | _MS_NODEV, f"size=16m,mode=700,{_owner(plan)}")
    for name, text in plan["files"].items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for source, target in plan["read_only"]:
        bind(source, root / target.lstrip("/"))
    if plan["disk"]:
        _mount_disk(plan, root)
    return root


def _owner(plan: Mapping[str, Any]) -> str:
    return f"uid={plan['users'][1][0]},gid={plan['groups'][1][0]}"


def _make_devices(folder: Path) -> None:
    folder.mkdir()
    mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NOEXEC, "size=64k,mode=755")
    for name, major, minor in _DEVICES:
        os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (folder / name).chmod(0o666)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (folder / name).symlink_to(f"/proc/self/fd{target}")
    for name in ("pts", "shm", "mqueue"):
        (folder / name).mkdir()
    mount("tmpfs", folder / "shm", "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "size=64m,mode=1777")
    mount("devpts", folder / "pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    (folder / "ptmx").symlink_to("pts/ptmx")
    mount("", folder, "", _MS_REMOUNT | _MS_BIND | _MS_NOSUID | _MS_NOEXEC | _MS_RDONLY)


def _make_tunnel_device() -> None:
    """Let pasta, which is no longer root on the host, open /dev/net/tun. The box itself has no such device."""
    Path("/dev/net").mkdir(exist_ok=True)
    mount("tmpfs", "/dev/net", "tmpfs", _MS_NOSUID | _MS_NOEXEC, "size=4k,mode=755")
    os.mknod("/dev/net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
    Path("/dev/net/tun").chmod(0o666)


def _mount_disk(plan: Mapping[str, Any], root: Path) -> None:
    """The disk outlives the box, but only its folder "storage": the others are emptied first."""
    disk = root / "disk"
    disk.mkdir(mode=0o700)
    for attempt in (1, 2):  # the loop device of an earlier box may be about to go
        command = ["mount", "-t", "ext4", "-o", "loop,nosuid,nodev,discard,noatime", plan["disk"], str(disk)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            break
        if attempt == 2:
            raise BoxError(f"cannot mount {plan['disk']}: {result.stderr.strip()}")
    user, group = plan["users"][1][0], plan["groups"][1][0]
    for name, target in plan["folders"].items():
        folder = disk / name
        if name != "storage" and folder.exists():
            subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True, capture_output=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, user, group)
        bind(folder, root / target.lstrip("/"), 0)
    # What is not shown by a bind stays out of sight.
    disk.chmod(0o700)


def enter_root() -> None:
    """Make the working folder the root, and lose sight of the host's.

    As pivot_root(2), "pivot_root(".", ".")": the old root lies above the new one, and is taken away. Mounts that came
    from a namespace above are locked, so they are bound once more; /proc is a place that every user may enter.
    """
    mount(".", "/proc", "", _MS_BIND | _MS_REC)
    os.chdir("/proc")
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "cannot leave the old root")
    os.chdir("/")


# --- the processes -------------------------------------------------------------------------------------------------


def keep(plan: Mapping[str, Any], channel: socket.socket) -> int:
    """The keeper."""
    for group in plan["cgroups"]:
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    _unshare(_CLONE_NEWNS, "mount")
    mount("", "/", "", _MS_REC | _MS_PRIVATE)
    _make_tunnel_device()
    root = make_root(plan)
    os.chdir(root)
    steps = {name: Gate() for name in ("user", "mapped")}
    keeper = os.getpid()
    channel.set_inheritable(False)

    reader, writer = os.pipe()

    def holder() -> int:
        channel.close()
        os.close(reader)
        return hold(plan, steps, writer, keeper)

    child = fork(holder)
    os.close(writer)
    steps["user"].wait()
    write_maps(child, plan["users"], plan["groups"])
    steps["mapped"].open()
    code = code_of(child)
    failed = os.read(reader, 16).decode()
    if code and not failed:
        raise BoxError("a process of the box ended too early")
    result = _result(root / plan["result"].lstrip("/")) if code == 0 and plan["result"] else None
    answer = {"code": code, "failed": int(failed) if code else None, "full": _is_full(root / "disk")}
    socket.send_fds(channel, [json.dumps(answer).encode()], [result] if result is not None else [])
    return code


def _result(path: Path) -> int | None:
    """What the commands wrote. They may have put anything there: only a plain file is taken."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _is_full(disk: Path) -> bool:
    """Whether less than a twentieth of the disk, or of its files, is left."""
    try:
        room = os.statvfs(disk)
    except OSError:
        return False
    return room.f_bfree * 20 < room.f_blocks or room.f_ffree * 20 < room.f_files


def hold(plan: Mapping[str, Any], steps: Mapping[str, Gate], progress: int, keeper: int) -> int:
    """The holder of user namespace 1."""
    _end_with_parent(keeper)
    _unshare(_CLONE_NEWUSER, "user")
    steps["user"].open()
    steps["mapped"].wait()
    become_root()
    _end_with_parent(keeper)
    inner = {name: Gate() for name in ("network", "ruled", "user", "mapped")}
    holder = os.getpid()
    child = fork(lambda: belong(plan, inner, progress, holder))
    inner["network"].wait()
    if plan["pasta"]:
        # By standard input: pasta gives up the right to open it by name, and closes every other descriptor.
        with open(f"/proc/{child}/ns/net", "rb") as network:
            run([*plan["pasta"], "--netns-only", "--no-netns-quit", "--netns", "/proc/self/fd/0"], network)
    inner["ruled"].open()
    inner["user"].wait()
    write_maps(child, [[1, plan["users"][1][1]]], [[1, plan["groups"][1][1]]])
    inner["mapped"].open()
    return code_of(child)


def belong(plan: Mapping[str, Any], steps: Mapping[str, Gate], progress: int, holder: int) -> int:
    """The member of user namespace 2, which shares network namespace 1 but owns nothing of it."""
    _end_with_parent(holder)
    _unshare(_CLONE_NEWNET, "network")
    steps["network"].open()
    steps["ruled"].wait()
    if plan["rules"]:
        run(["nft", "-f", "-"], plan["rules"])
    _unshare(_CLONE_NEWUSER, "user")
    steps["user"].open()
    steps["mapped"].wait()
    become_root()
    _end_with_parent(holder)
    _unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUTS | _CLONE_NEWCGROUP, "process")
    return code_of(fork(lambda: first(plan, progress)))


def first(plan: Mapping[str, Any], progress: int) -> int:
    """Process 1. When it ends, the kernel ends whatever the commands left running. Writes the index of a command that
    failed to `progress`."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    os.setsid()
    socket.sethostname("build")
    mount("proc", "proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)  # only while another one is in sight
    enter_root()
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _CAPABILITIES:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that the kernel does not know
    os.umask(0o022)
    silence = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    stdin = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    for index, command in enumerate(plan["commands"]):
        actions = stdin + (silence if index in plan["silent"] else [])
        child = os.posix_spawn(_find(command[0]), command, plan["environment"], file_actions=actions)
        code = _reap(child)
        if code:
            os.write(progress, str(index).encode())
            return code
    return 0


def _find(program: str) -> str:
    for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin"):
        if os.access(f"{folder}/{program}", os.X_OK):
            return f"{folder}/{program}"
    raise BoxError(f"there is no {program}")


def _reap(child: int) -> int:
    """Waits for a child; process 1 is also handed all processes whose parent has ended."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def become_root() -> None:
    """Root of the user namespace that was just mapped, with no other group."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # The change of user took it away, and with it the files of /proc/PID from the processes of the box above.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def write_maps(process: int, users: Sequence[Sequence[int]], groups: Sequence[Sequence[int]]) -> None:
    """Maps ids from 0 on to the ranges ([start, count], ...) of the namespace above (user_namespaces(7))."""
    for name, ranges in (("uid_map", users), ("gid_map", groups)):
        lines, inside = [], 0
        for start, count in ranges:
            lines.append(f"{inside} {start} {count}\n")
            inside += count
        try:
            Path(f"/proc/{process}/{name}").write_text("".join(lines))
        except OSError as error:
            raise BoxError(f"cannot write {name}: {error.strerror}") from None


def run(command: Sequence[str], stdin: "IO[bytes] | str" = "") -> None:
    """Run a program of the host that sets something up. Raises BoxError with its last output."""
    source: Any = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, **source)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BoxError(f"{command[0]}: {error}") from None
    if result.returncode:
        raise BoxError(f"{command[0]}: {result.stderr.strip()[-1000:]}")


def main() -> NoReturn:
    channel = socket.socket(fileno=int(sys.argv[1]))
    plan = json.load(sys.stdin)
    try:
        code = keep(plan, channel)
    except (BoxError, OSError) as error:
        with suppress(OSError):
            channel.send(json.dumps({"error": str(error)}).encode())
        code = 125
    os._exit(code)


if __name__ == "__main__":
    main()
