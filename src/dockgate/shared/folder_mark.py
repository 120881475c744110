"""The mark of the folder that the servers of a database share: the id of the store."""

from pathlib import Path

from dockgate.shared.errors import UnavailableError

MARK = Path("run", "store")


def read_mark(folder: Path) -> str | None:
    """Return the id of the store whose files are in the folder, or None.

    OSError if the folder cannot be read.
    """
    try:
        return (folder / MARK).read_text().strip()
    except FileNotFoundError:
        return None


def require_mark(folder: Path, store_id: str) -> None:
    """Raise UnavailableError unless the folder can be read and belongs to the store. Changes nothing."""
    if require_any_mark(folder) != store_id:
        raise UnavailableError(
            f"{folder} belongs to another database than this server uses",
            "Set DOCKGATE_SHARED and DOCKGATE_DATABASE_URL to the values of the other servers.",
        )


def require_any_mark(folder: Path) -> str:
    """Return the id of the store whose files are in the folder.

    Raises UnavailableError if it cannot be read, or has the files of no store. Changes nothing.
    """
    try:
        mark = read_mark(folder)
    except OSError as error:
        raise UnavailableError(
            f"the shared folder {folder} cannot be read: {error.strerror}",
            "Mount it again.",
        ) from error
    if mark is None:
        raise UnavailableError(
            f"{folder} does not contain the files of this database: there is no {folder / MARK}",
            "Mount the folder of the other servers, or set DOCKGATE_SHARED to it.",
        )
    return mark
