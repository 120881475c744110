"""SQLite files for the stores of this process's tests."""

import atexit
import shutil
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from dbos import DBOS

from dockgate.store import Store, migrate, open_store
from dockgate.store.engine import Database


def open_sqlite(folder: Path) -> Store:
    """Open the store of this folder. If it is new, its tables are copied, which is faster than migrating each."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "dockgate.db"
    if not file.exists():
        shutil.copyfile(_make_template(), file)
    return open_store(folder)


@cache
def _make_template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dockgate-sqlite-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "template.db"
    with closing(Database.from_file(file)) as database:
        migrate(database)
        DBOS.migrate(database.url)
    return file
