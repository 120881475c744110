"""Limit memory and processes of builds by control groups (cgroups(7)).

They also find every process of a build. Version 1, also on hosts with hybrid hierarchies, and version 2. A build cannot
leave its groups: their files belong to the host's root, and are not visible in the box.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dockgate.shared.errors import UnavailableError

ROOT = Path("/sys/fs/cgroup")
_SECONDS = 10.0


def is_unified(root: Path = ROOT) -> bool:
    """Return whether the host has version 2 alone."""
    return (root / "cgroup.controllers").exists()


def find_missing_controllers(root: Path = ROOT) -> list[str]:
    """Return the controllers that limits need and the host lacks."""
    if is_unified(root):
        available = (root / "cgroup.controllers").read_text().split()
        return [name for name in ("memory", "pids") if name not in available]
    return [name for name in ("memory", "pids") if not (root / name / "cgroup.procs").exists()]


def make(name: str, memory: int, processes: int, root: Path = ROOT) -> list[Path]:
    """Make the groups that a process must enter, one for each hierarchy.

    `memory` is in bytes, including swap. Raises UnavailableError if the host lacks a controller.
    """
    try:
        if is_unified(root):
            with suppress(OSError):  # they are most often enabled, and may not be written again while in use
                (root / "cgroup.subtree_control").write_text("+memory +pids")
            group = _make_fresh(root / name)
            _write(group / "memory.max", memory)
            with suppress(OSError):
                _write(group / "memory.swap.max", 0)
            with suppress(OSError):
                _write(group / "memory.oom.group", 1)
            _write(group / "pids.max", processes)
            return [group]
        by_memory, by_number = _make_fresh(root / "memory" / name), _make_fresh(root / "pids" / name)
        _write(by_memory / "memory.limit_in_bytes", memory)
        with suppress(OSError):  # there only where swap is accounted
            _write(by_memory / "memory.memsw.limit_in_bytes", memory)
        _write(by_number / "pids.max", processes)
        return [by_memory, by_number]
    except OSError as error:
        raise UnavailableError(
            f"cannot limit builds: {error.filename}: {error.strerror}",
            "`dockgate doctor` names what this host lacks, and how to add it.",
        ) from error


def find_leftovers(prefix: str, root: Path = ROOT) -> list[Path]:
    """Return the groups of earlier builds whose names start with the prefix."""
    parents = [root] if is_unified(root) else [root / "memory", root / "pids"]
    return [group for parent in parents for group in parent.glob(f"{prefix}-*")]


def has_run_out_of_memory(groups: Sequence[Path]) -> bool:
    """Return whether the kernel killed a process because of its group's memory limit."""
    for group in groups:
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                for line in (group / name).read_text().splitlines():
                    key, _, value = line.partition(" ")
                    if key == "oom_kill" and value != "0":
                        return True
    return False


def kill(group: Path) -> bool:
    """Kill every process of a group once. Returns whether there were any."""
    try:
        pids = (group / "cgroup.procs").read_text().split()
    except OSError:
        return False
    for process in pids:
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    return bool(pids)


def end(group: Path) -> None:
    """Kill the processes of a group until none is left, and remove it.

    Raises UnavailableError if some stay.
    """
    deadline = time.monotonic() + _SECONDS
    while group.exists():
        if not kill(group):
            with suppress(OSError):
                group.rmdir()
                return
        if time.monotonic() > deadline:
            raise UnavailableError(f"processes of an earlier build do not end: {group}", "Restart the host.")
        time.sleep(0.005)


def _make_fresh(group: Path) -> Path:
    end(group)
    group.mkdir()
    return group


def _write(path: Path, value: int) -> None:
    path.write_text(str(value))
