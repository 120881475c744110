"""The output of actions, as files: `executions/<execution>/<stage>+<action>+<attempt>.log`."""

import os
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from dockgate.config import DiskLimits
from dockgate.delivery.model import ActionKey

# How long a log is kept at least: its execution may be under way.
SPARED_SECONDS = 86_400
# Bytes per read.
_LIMIT = 1 << 20
CUT_OFF = "── the rest of this log is left out: it is larger than DOCKGATE_LOG_LIMIT ──"


class Logs:
    """The output of actions, appended as they print it.

    Beyond the limit of all logs, those of the oldest executions are deleted.
    """

    def __init__(self, folder: Path, limits: DiskLimits = DiskLimits()) -> None:  # noqa: B008 - frozen
        self._folder = folder / "executions"
        self._limits = limits
        self._appended_bytes = 0
        self._lock = threading.Lock()
        for directory in (folder, self._folder):
            directory.mkdir(mode=0o700, exist_ok=True)
        self._make_room()

    def append(self, key: ActionKey, *lines: str) -> None:
        """Append lines. Those beyond the limit of one log are dropped, and the log says so once.

        They are one write call to a file in append mode: lines of several threads or processes never mix.
        """
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        path = self._make_path(key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > self._limits.log:
                return
            if size + len(data) > self._limits.log:  # afterwards the file is larger than the limit: noted once
                data = data[: self._limits.log - size] + f"\n{CUT_OFF}\n".encode()
            file.write(data)
        self._count(len(data))

    def read(self, key: ActionKey, offset: int) -> tuple[bytes, int]:
        """The complete lines from this byte on, at most 1 MiB, and the offset to continue from.

        b"" and the same offset when there is nothing new. A line longer than 1 MiB comes in parts.
        """
        try:
            with self._make_path(key).open("rb") as file:
                file.seek(offset)
                data = file.read(_LIMIT)
        except FileNotFoundError:
            return b"", offset
        complete = data[: data.rfind(b"\n") + 1]
        if not complete and len(data) == _LIMIT:
            complete = data
        return complete, offset + len(complete)

    def read_end(self, key: ActionKey, size: int) -> bytes:
        """The last complete lines, at most `size` bytes; b"" if there are none."""
        try:
            with self._make_path(key).open("rb") as file:
                start = max(file.seek(0, os.SEEK_END) - size, 0)
                file.seek(start)
                data = file.read(size)
        except FileNotFoundError:
            return b""
        return data if start == 0 else data.partition(b"\n")[2]

    def list_executions(self, before: float) -> Mapping[str, int]:
        """The executions whose logs have not grown since that time (since 1970), with their bytes."""
        sizes = ((unquote(Path(path).name), changed_at, size) for changed_at, path, size in _list_sizes(self._folder))
        return {name: size for name, changed_at, size in sizes if changed_at < before}

    def delete(self, execution: str) -> None:
        """Delete the logs of an execution."""
        shutil.rmtree(self._folder / _make_file_name(execution), ignore_errors=True)

    def _count(self, size: int) -> None:
        """Make room each time a twentieth of the limit was written."""
        with self._lock:
            self._appended_bytes += size
            is_due = self._appended_bytes > self._limits.logs // 20
            if is_due:
                self._appended_bytes = 0
        if is_due:
            self._make_room()

    def _make_room(self) -> None:
        executions = _list_sizes(self._folder)
        excess = sum(size for _, _, size in executions) - self._limits.logs
        for changed_at, path, size in executions:
            if excess <= 0 or changed_at > time.time() - SPARED_SECONDS:
                return
            shutil.rmtree(path, ignore_errors=True)
            excess -= size

    def _make_path(self, key: ActionKey) -> Path:
        names = "+".join(map(_make_file_name, (key.stage, key.action, str(key.attempt))))
        return self._folder / _make_file_name(key.execution) / f"{names}.log"


def _make_file_name(name: str) -> str:
    """A unique file name for every name, which is never a path."""
    return quote(name, safe="").replace(".", "%2E")


def _list_sizes(folder: Path) -> list[tuple[float, str, int]]:
    """Each execution's folder: when it last changed, its path and its bytes, oldest first."""
    sizes = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # deleted by another thread
            size = sum(file.stat().st_size for file in os.scandir(entry.path))
            sizes.append((entry.stat().st_mtime, entry.path, size))
    return sorted(sizes)
