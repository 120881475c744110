"""System calls that Python 3.11 has no function for.

Standard library only: it is part of the program `box`.
"""

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24

libc = ctypes.CDLL(None, use_errno=True)


class BoxError(Exception):
    """The box could not be made."""


def check(result: int, operation: str) -> None:
    """Raise BoxError, naming the call, unless the result of a C function is 0."""
    if result:
        raise BoxError(f"{operation}: {os.strerror(ctypes.get_errno())}")


def unshare(flags: int, kind: str) -> None:
    """Move to new namespaces, by the system call. `kind` names them in the error."""
    check(libc.unshare(flags), f"cannot make a new {kind} namespace")


def mount(source: str, target: str | Path, kind: str, flags: int = 0, options: str | None = None) -> None:
    """Mount a file system, by the system call. Raises BoxError."""
    data = None if options is None else options.encode()
    arguments = [source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data]
    check(libc.mount(*arguments), f"cannot mount {kind or source} on {target}")


def bind(source: str | Path, target: str | Path, flags: int = MS_RDONLY) -> None:
    """Bind-mount a file or a folder at another path. Its flags take a second call (mount(2))."""
    path = Path(target)
    if Path(source).is_dir():
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mount(str(source), target, "", MS_BIND)
    mount("", target, "", MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | flags)


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when the parent ends.

    Call it again after a change of user, which clears it.
    """
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)  # the parent ended before the call
