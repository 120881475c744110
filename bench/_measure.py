"""How long a whole process takes, and how much memory it and its children take together."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# Seconds between two looks at the memory.
_EVERY = 0.01


class FailedError(Exception):
    """The program's exit code and its last words."""


def measure_seconds(command: Sequence[str], environment: Mapping[str, str], *, stdin: Path | None = None) -> float:
    """By the clock. Exit codes 0 and 3 are fine: 3 says that an image holds something that cannot be read."""
    begin = time.perf_counter()
    with (stdin or Path(os.devnull)).open("rb") as lines:
        result = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=lines,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    took = time.perf_counter() - begin
    _check(result.returncode, result.stderr)
    return took


def measure_memory(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """The most MB that the process and its children had at once, pages that they share counted once.

    Looked at every hundredth of a second, which takes time: not to be measured together with `measure_seconds`.
    """
    peak = 0
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        peak = max(peak, sum(map(_read_share, _list_family(process.pid))))
        time.sleep(_EVERY)
    _check(process.returncode, b"")
    return peak / 1024


def _list_family(process: int) -> set[int]:
    """The process, its children, and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before may hold anything (proc(5)); the state and the parent follow it.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    family = {process}
    while children := {child for child, parent in parents.items() if parent in family} - family:
        family |= children
    return family


def _read_share(process: int) -> int:
    """KB, by /proc/PID/smaps_rollup (proc(5)): of a page that n processes share, an nth."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _check(code: int, output: bytes) -> None:
    if code not in (0, 3):
        lines = output.decode(errors="replace").strip().splitlines() or ["no word"]
        raise FailedError(f"exit {code}: {lines[-1][:120]}")
