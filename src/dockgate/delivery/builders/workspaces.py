"""Folders of repositories. One build at a time works in each."""

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dockgate.shared.errors import UnavailableError

_WAIT_SECONDS = 0.1
# The server's record of what the disk of a repository has, and the disk.
_STATE, _DISK = "state.json", "disk.ext4"


class Workspaces:
    """The folders in `folder`, one for each repository.

    A build waits at most `seconds` for another to end.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds

    def make_folder(self, repository: str) -> Path:
        """Make the folder of a repository, unless it is there, and return it."""
        folder = self._folder / hashlib.sha256(repository.encode()).hexdigest()[:32]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def remove_unused(self, before: float) -> int:
        """Delete what builds keep of repositories not built since that time (seconds since 1970).

        Returns how many bytes that were. The next build of such a repository begins with an empty disk. A repository
        that is being built is left alone.
        """
        size = 0
        for folder in self._folder.glob("*/"):
            with (folder / "lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                kept_files = [path for path in (folder / _STATE, folder / _DISK) if path.exists()]
                if all(path.stat().st_mtime < before for path in kept_files):
                    for path in kept_files:
                        size += path.stat().st_blocks * 512
                        path.unlink()
        return size

    @contextmanager
    def reserve(self, repository: str, log: Callable[[Sequence[str]], None]) -> Iterator[Path]:
        """Reserve the folder of a repository. Raises UnavailableError if another build does not end in time."""
        folder = self.make_folder(repository)
        end = time.monotonic() + self._seconds
        with (folder / "lock").open("a") as lock:
            is_waiting = False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not is_waiting:
                        log([f"waiting for another build of {repository} to end"])
                    is_waiting = True
                    if time.monotonic() > end:
                        raise UnavailableError(f"another build of {repository} did not end", "Try again.") from None
                    time.sleep(_WAIT_SECONDS)
            yield folder
