"""What actions print, as files: `executions/<execution>/<stage>+<action>+<attempt>.log`."""

from pathlib import Path
from urllib.parse import quote

from dockgate.core.pipeline import ActionKey

_LIMIT = 1 << 20
"""bytes per read"""


class FileLogs:
    """`core.stores.Logs`, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "executions"
        for made in (folder, self._folder):
            made.mkdir(mode=0o700, exist_ok=True)

    def append(self, key: ActionKey, line: str) -> None:
        """One write call to a file in append mode: lines of several threads or processes never mix."""
        data = (line + "\n").encode("utf-8", "backslashreplace")
        path = self._path(key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(data)

    def read(self, key: ActionKey, offset: int) -> tuple[bytes, int]:
        """b"" and the same offset while nothing new stands there. A line longer than 1 MiB comes in parts."""
        try:
            with self._path(key).open("rb") as file:
                file.seek(offset)
                data = file.read(_LIMIT)
        except FileNotFoundError:
            return b"", offset
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == _LIMIT:
            whole = data
        return whole, offset + len(whole)

    def _path(self, key: ActionKey) -> Path:
        names = "+".join(map(_safe, (key.stage, key.action, str(key.attempt))))
        return self._folder / _safe(key.execution) / f"{names}.log"


def _safe(name: str) -> str:
    """A file name of its own for every name, and never a path."""
    return quote(name, safe="").replace(".", "%2E")
