"""Check that this host sees the folder that the servers of one database share."""

from collections.abc import Callable
from pathlib import Path

from dockgate.shared.files import create_file
from dockgate.shared.folder_mark import MARK, require_mark
from dockgate.store import Store


class SharedFolder:
    """The folder with a store's files. The first server marks the folder; any other folder is refused."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store_id = store.id
        store.claim_folder(lambda: create_once(folder / MARK, lambda: store.id))

    def require(self) -> None:
        """Raise UnavailableError unless the folder can be read and belongs to the store."""
        require_mark(self._folder, self._store_id)


def create_once(path: Path, content: Callable[[], str]) -> None:
    """Create a private file with this content, unless it exists.

    Of several processes that try, one succeeds.
    """
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_file(path, content().encode(), 0o600)
