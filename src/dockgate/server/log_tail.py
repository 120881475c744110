"""The end of a program's log."""

import os
from pathlib import Path

_MOST_BYTES = 64 * 1024


def size(log: Path) -> int:
    """Bytes in the log now, 0 when there is none: where the output of the next start begins."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def last_lines(log: Path, count: int, start: int) -> list[str]:
    """The last lines that were written from the byte `start` on, none of an earlier start. Reads 64 KiB at most."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= end else 0, end - _MOST_BYTES))
            return file.read(_MOST_BYTES).decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
