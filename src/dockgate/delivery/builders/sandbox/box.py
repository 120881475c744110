"""Run commands in a box: their own user, process, mount, network, IPC and host name namespaces.

`sandbox` starts it as a program of its own, as root, so that its memory has nothing of the server. It uses the standard
library only, and `system`, `box_root` and `seccomp` beside it. It reads a plan as JSON from standard input
(`sandbox.Sandbox` writes it), and answers with one JSON message on the socket that its argument names:
{"code": 0, "failed": null, "full": false} after the commands were run, with the descriptor of the file that they wrote;
or {"error": "…"} if the box could not be made.

Four processes, each ended by the kernel with the one above it (PR_SET_PDEATHSIG):
- `keeper`: root on the host. Enters the control groups, makes the root folder of the box, opens the result.
- `holder`: root in user namespace 1 alone. Starts pasta, which connects network namespace 1.
- `member`: root in user namespace 2, which lies in 1 without its root: nothing in it can change the network, its rules
  or its kernel parameters, or reach pasta.
- `run_init`: process 1 of the box, with few capabilities. Runs the commands, one after another.
"""

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

from dockgate.delivery.builders.sandbox import seccomp, system
from dockgate.delivery.builders.sandbox.box_root import enter_root, make_root, make_tunnel_device
from dockgate.delivery.builders.sandbox.system import BoxError, check, end_with_parent, libc, mount, unshare

# What podman needs in its user namespace: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, sys_chroot, sys_admin, setfcap (linux/capability.h).
_CAPABILITIES = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 21, 31))
_LAST_CAPABILITY = 63


# --- steps between processes ---------------------------------------------------------------------------------------


class Gate:
    """A gate at which one process waits until another has reached a step."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    def open(self) -> None:
        """Let the waiting process continue."""
        os.write(self._write_end, b".")

    def wait(self) -> None:
        """Wait for `open`.

        Only one process may call it. Raises BoxError if the other process has ended instead.
        """
        os.close(self._write_end)
        if not os.read(self._read_end, 1):
            raise BoxError("a process of the box ended too early")


def fork(function: Callable[[], int]) -> int:
    """Start a process that runs the function and exits with the code that it returns. Returns its id."""
    child = os.fork()
    if child:
        return child
    code = 125
    try:
        code = function()
    except BaseException as error:  # nothing may escape into the code of the process above
        os.write(2, f"box: {error}\n".encode(errors="replace"))
    os._exit(code)


def wait_for_exit_code(child: int) -> int:
    """Wait for a child, and return its exit code, or 128 plus the number of the signal that ended it."""
    return _convert_exit_status(os.waitpid(child, 0)[1])


def _convert_exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


# --- the processes -------------------------------------------------------------------------------------------------


def run_keeper(plan: Mapping[str, Any], channel: socket.socket) -> int:
    """Run the keeper; see above."""
    for group in plan["cgroups"]:
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    unshare(system.CLONE_NEWNS, "mount")
    mount("", "/", "", system.MS_REC | system.MS_PRIVATE)
    make_tunnel_device()
    root = make_root(plan)
    os.chdir(root)
    steps = {name: Gate() for name in ("user", "mapped")}
    keeper = os.getpid()
    channel.set_inheritable(False)

    reader, writer = os.pipe()

    def start_holder() -> int:
        channel.close()
        os.close(reader)
        return run_holder(plan, steps, writer, keeper)

    child = fork(start_holder)
    os.close(writer)
    steps["user"].wait()
    write_maps(child, plan["users"], plan["groups"])
    steps["mapped"].open()
    code = wait_for_exit_code(child)
    failed_index = os.read(reader, 16).decode()
    if code and not failed_index:
        raise BoxError("a process of the box ended too early")
    result = _open_result(root / plan["result"].lstrip("/")) if code == 0 and plan["result"] else None
    answer = {"code": code, "failed": int(failed_index) if code else None, "full": _is_full(root / "disk")}
    socket.send_fds(channel, [json.dumps(answer).encode()], [result] if result is not None else [])
    return code


def _open_result(path: Path) -> int | None:
    """Open the file that the commands wrote.

    None unless it is a plain file, since they may put anything there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _is_full(disk: Path) -> bool:
    """Return whether less than 5 % of the disk's space, or of its file numbers, is free."""
    try:
        room = os.statvfs(disk)
    except OSError:
        return False
    return room.f_bfree * 20 < room.f_blocks or room.f_ffree * 20 < room.f_files


def run_holder(plan: Mapping[str, Any], steps: Mapping[str, Gate], progress: int, keeper: int) -> int:
    """Run the holder of user namespace 1."""
    end_with_parent(keeper)
    unshare(system.CLONE_NEWUSER, "user")
    steps["user"].open()
    steps["mapped"].wait()
    become_root()
    end_with_parent(keeper)
    inner = {name: Gate() for name in ("network", "rules_loaded", "user", "mapped")}
    holder = os.getpid()
    child = fork(lambda: run_member(plan, inner, progress, holder))
    inner["network"].wait()
    if plan["pasta"]:
        # By standard input: pasta gives up the right to open it by name, and closes every other descriptor.
        with open(f"/proc/{child}/ns/net", "rb") as network:
            run([*plan["pasta"], "--netns-only", "--no-netns-quit", "--netns", "/proc/self/fd/0"], network)
    inner["rules_loaded"].open()
    inner["user"].wait()
    write_maps(child, [[1, plan["users"][1][1]]], [[1, plan["groups"][1][1]]])
    inner["mapped"].open()
    return wait_for_exit_code(child)


def run_member(plan: Mapping[str, Any], steps: Mapping[str, Gate], progress: int, holder: int) -> int:
    """Run the member of user namespace 2, which shares network namespace 1 but owns nothing of it."""
    end_with_parent(holder)
    unshare(system.CLONE_NEWNET, "network")
    steps["network"].open()
    steps["rules_loaded"].wait()
    if plan["rules"]:
        run(["nft", "-f", "-"], plan["rules"])
    unshare(system.CLONE_NEWUSER, "user")
    steps["user"].open()
    steps["mapped"].wait()
    become_root()
    end_with_parent(holder)
    unshare(
        system.CLONE_NEWNS | system.CLONE_NEWPID | system.CLONE_NEWIPC | system.CLONE_NEWUTS | system.CLONE_NEWCGROUP,
        "process",
    )
    return wait_for_exit_code(fork(lambda: run_init(plan, progress)))


def run_init(plan: Mapping[str, Any], progress: int) -> int:
    """Run process 1 of the box.

    When it ends, the kernel ends all processes that the commands left running. Writes the index of a command that
    failed to the descriptor `progress`.
    """
    check(libc.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    os.setsid()
    socket.sethostname("build")
    mount(
        "proc", "proc", "proc", system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC
    )  # only possible while another one is visible
    # In another user namespace a RUN would have all capabilities, and so reach far more of the kernel.
    Path("proc/sys/user/max_user_namespaces").write_text("0")
    enter_root()
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _CAPABILITIES:
            libc.prctl(system.PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that the kernel does not know
    try:
        seccomp.install()
    except (OSError, LookupError) as error:
        raise BoxError(f"cannot filter system calls on {os.uname().machine}: {error}") from None
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
    """Wait for a child, and return its exit code.

    Process 1 also reaps all processes whose parent has ended.
    """
    while True:
        pid, status = os.wait()
        if pid == child:
            return _convert_exit_status(status)


def become_root() -> None:
    """Become root of the user namespace that was just mapped, without other groups."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # The change of user cleared it; without it the processes of the box above cannot read the files of /proc/PID.
    check(libc.prctl(system.PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def write_maps(process: int, users: Sequence[Sequence[int]], groups: Sequence[Sequence[int]]) -> None:
    """Map the ids from 0 to the ranges ([start, count], ...) of the namespace above (user_namespaces(7))."""
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
    """Run a program of the host for the set-up. Raises BoxError with its last output if it fails."""
    source: Any = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, **source)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BoxError(f"{command[0]}: {error}") from None
    if result.returncode:
        raise BoxError(f"{command[0]}: {result.stderr.strip()[-1000:]}")


def main() -> NoReturn:
    """Run the program `box`: a plan in JSON on standard input, a socket as its argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    plan = json.load(sys.stdin)
    try:
        code = run_keeper(plan, channel)
    except (BoxError, OSError) as error:
        with suppress(OSError):
            channel.send(json.dumps({"error": str(error)}).encode())
        code = 125
    os._exit(code)
