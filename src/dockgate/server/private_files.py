"""Restrict the data folder to the server's user: folders 0700, files 0600 (0700 if executable)."""

import logging
import os
import stat
from pathlib import Path

from dockgate.config import KEY_FILE
from dockgate.shared.errors import UnavailableError, UsageError

# All that a server keeps in its data folder.
DATA_ENTRIES = (
    *("advisories.db*", "dockgate.db*"),
    *("blobs", "blobs-cache", "builds", "git", "keys", "logs", "podman", "registry", "scratch", "run"),
    KEY_FILE,
)
_OPEN = stat.S_IRWXG | stat.S_IRWXO
# What containers and builds see has its own modes; the folder above is closed.
_NOT_WALKED = ("podman", "scratch")

_log = logging.getLogger(__name__)


def restrict(data: Path) -> None:
    """Create the data folder if it is missing, and remove other users' permissions.

    They are removed from it and from our files in it. From now on this process creates files for its user alone. A
    folder with files of other users keeps its mode. Raises UsageError if the folder is writable by all, or owned by
    another user, UnavailableError if it cannot be created.
    """
    os.umask(0o077)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = data.stat()
    except OSError as error:
        raise UnavailableError(
            f"cannot keep data in {data}: {error.strerror}", "Name another folder with DOCKGATE_DATA."
        ) from error
    if status.st_uid != os.geteuid():
        raise UsageError(f"{data} belongs to the user {status.st_uid}", "Run as that user, or set DOCKGATE_DATA.")
    if status.st_mode & stat.S_IWOTH:
        raise UsageError(f"every user can write to {data}", "Set DOCKGATE_DATA to a folder of its own.")
    entries = [path for pattern in DATA_ENTRIES for path in data.glob(pattern)]
    if foreign_names := {path.name for path in data.iterdir()} - {path.name for path in entries}:
        if status.st_mode & _OPEN:
            names = ", ".join(sorted(foreign_names)[:5])
            _log.warning("%s stays open to other users, because it contains other files: %s", data, names)
    else:
        _close(data)
    for path in entries:
        if not path.is_symlink():
            _close(path)
            if path.is_dir() and path.name not in _NOT_WALKED:
                _close_below(path)


def _close_below(folder: Path) -> None:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                _close(path)


def _close(path: Path) -> None:
    """Set the mode, unless the file is gone or another user's, which the folder's mode protects."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OPEN:
            path.chmod(mode & ~_OPEN)
    except FileNotFoundError:
        pass
    except PermissionError as error:
        _log.warning("cannot change the mode of %s: %s", path, error.strerror)
