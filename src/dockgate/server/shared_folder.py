"""Check that this host sees the folder that the servers of one database share."""

from collections.abc import Callable
from pathlib import Path

from dockgate.shared.errors import UnavailableError
from dockgate.shared.files import create_file
from dockgate.store import Store

# The file with the id of the store whose files are in the folder.
MARK = Path("run", "store")


class SharedFolder:
    """The folder with the files of a store. The first server marks it; then any other is refused."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._mark = folder / MARK
        self._store_id = store.id
        store.claim_folder(lambda: create_once(self._mark, lambda: store.id))

    def require(self) -> None:
        """Raise UnavailableError unless the folder can be read and belongs to the store."""
        try:
            mark = read_mark(self._folder)
        except OSError as error:
            raise UnavailableError(
                f"the shared folder {self._folder} cannot be read: {error.strerror}",
                "Mount it again. Until then this process takes no work.",
            ) from error
        if mark is None:
            raise UnavailableError(
                f"{self._folder} does not contain the files of this database: there is no {self._mark}",
                "Mount the folder of the other servers, or set DOCKGATE_SHARED to it. Until then this process takes "
                "no work.",
            )
        if mark != self._store_id:
            raise UnavailableError(
                f"{self._folder} belongs to another database than this server uses",
                "Set DOCKGATE_SHARED and DOCKGATE_DATABASE_URL to the values of the other servers.",
            )


def read_mark(folder: Path) -> str | None:
    """Return the id of the store whose files are in the folder, or None.

    OSError if the folder cannot be read.
    """
    try:
        return (folder / MARK).read_text().strip()
    except FileNotFoundError:
        return None


def create_once(path: Path, content: Callable[[], str]) -> None:
    """Create a private file with this content, unless it exists.

    Of several processes that try, one succeeds.
    """
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_file(path, content().encode(), 0o600)
