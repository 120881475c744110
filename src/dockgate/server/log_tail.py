"""The end of a program's log."""

import os
from pathlib import Path

_MOST_BYTES = 64 * 1024


def read_size(log: Path) -> int:
    """Return the log's size in bytes, 0 without a log: where the output of the next start begins."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def read_last_lines(log: Path, count: int, start: int) -> list[str]:
    """Return the last lines from the byte `start` on, none of an earlier start. Reads at most 64 KiB."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= end else 0, end - _MOST_BYTES))
            return file.read(_MOST_BYTES).decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
