"""The advisory database with its feeds: building, updating, describing and opening it."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dockgate.advisories.database import Database
from dockgate.config import Settings
from dockgate.core.model import Coverage, Inventory, Slice
from dockgate.core.ports import AdvisoryReader

if TYPE_CHECKING:
    from dockgate.advisories.schema import Part, Result

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Status:
    """What the database at `path` is made of, and which ecosystems it speaks for."""

    path: Path
    digest: str
    parts: "tuple[Part, ...]"
    coverage: tuple[Coverage, ...]


def build(path: Path, folder: Path, report: Report) -> "Result":
    """Builds the database at `path` from a folder of feeds. Raises as `advisories.build.build` does."""
    from dockgate import feeds
    from dockgate.advisories.build import build as build_from

    return build_from(path, feeds.load(), folder, datetime.now(UTC), report)


def update(settings: Settings, path: Path, report: Report) -> "Result":
    """Brings the database at `path` up to date over HTTP, for every ecosystem whose versions can be compared."""
    from dockgate import ecosystems, feeds
    from dockgate.advisories.update import update as update_from

    names = sorted({name for ecosystem in ecosystems.load() for name in ecosystem.orders})
    return update_from(path, feeds.load(), dict(settings.feeds), names, datetime.now(UTC), report, settings.ca_bundle)


def status(path: Path) -> Status:
    """Raises DatabaseError when there is none."""
    with Database.open(path) as database:
        return Status(path, database.digest, tuple(database.parts()), tuple(database.coverage()))


class Current:
    """The database as it stands now, opened again only when another has taken its place (`core.ports.Advisories`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._identity: tuple[int, int] | None = None
        self._reader: _Shared | None = None

    def __call__(self) -> AdvisoryReader:
        with self._lock:
            identity = self._stat()
            if self._reader is None or identity != self._identity:
                self._reader, self._identity = _Shared(Database.open(self._path)), identity
            return self._reader

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


class _Shared:
    """An open database for many threads, closed when nobody holds it any more."""

    def __init__(self, database: Database) -> None:
        self.digest = database.digest
        self._database = database
        self._lock = Lock()
        weakref.finalize(self, database.close)

    def slice(self, inventories: Sequence[Inventory]) -> Slice:
        with self._lock:
            return self._database.slice(inventories)

    def coverage(self) -> Sequence[Coverage]:
        with self._lock:
            return self._database.coverage()
