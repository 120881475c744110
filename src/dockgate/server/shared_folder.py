"""Check that this host sees the folder that the servers of one database share."""

from collections.abc import Callable
from pathlib import Path

from dockgate.shared.errors import UnavailableError
from dockgate.shared.files import create_file


class SharedFolder:
    """The shared folder of the store with this id. The first server marks it."""

    def __init__(self, folder: Path, store_id: str) -> None:
        self._folder = folder
        self._mark = folder / "run" / "store"
        self._store_id = store_id
        create_once(self._mark, lambda: store_id)

    def require(self) -> None:
        """Raise UnavailableError unless the folder can be read and belongs to the store."""
        try:
            mark = self._mark.read_text()
        except OSError as error:
            raise UnavailableError(
                f"the shared folder {self._folder} cannot be read: {error.strerror}",
                "Mount it again. Until then this worker takes no work.",
            ) from error
        if mark != self._store_id:
            raise UnavailableError(
                f"{self._folder} belongs to another database than this server uses",
                "Set DOCKGATE_SHARED and DOCKGATE_DATABASE_URL to the values of the other servers.",
            )


def create_once(path: Path, content: Callable[[], str]) -> None:
    """Create a private file with this content, unless it exists.

    Of several processes that try, one succeeds.
    """
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_file(path, content().encode(), 0o600)
