"""Artifacts as files named by their content: `sha256/<64 hex digits>`."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dockgate.core.errors import NotFoundError


class FileBlobs:
    """`core.stores.Blobs`, in a folder. A blob appears whole and on disk, or not at all."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "sha256"
        self._incoming = folder / "incoming"
        for made in (folder, self._blobs, self._incoming):
            made.mkdir(mode=0o700, exist_ok=True)
        self._sweep()

    def put(self, write: Callable[[Path], None]) -> str:
        with tempfile.TemporaryDirectory(dir=self._incoming) as incoming:
            new = Path(incoming, "blob")
            write(new)
            with new.open("rb") as file:
                name = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            new.replace(self._blobs / name)
        _sync(self._blobs)
        return f"sha256:{name}"

    def path(self, digest: str) -> Path:
        """The file is the store's: it is not to be written to."""
        path = self._blobs / digest.removeprefix("sha256:")
        if not re.fullmatch("sha256:[0-9a-f]{64}", digest) or not path.is_file():
            raise NotFoundError(f"there is no artifact {digest!r}", "`dockgate pipeline retry` makes it again.")
        return path

    def _sweep(self) -> None:
        """Removes what a killed process had begun to write. A day spares what another one is writing now."""
        for left in self._incoming.iterdir():
            if left.stat().st_mtime < time.time() - 86_400:
                shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    """A rename lasts through a power cut only when its folder has been written too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
