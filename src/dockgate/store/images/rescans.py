"""Rescans: images that an older version of the scanner has read, and what a newer one reads in them."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, case, literal, or_, select, update

from dockgate.scanner.model import ScannedPlatform
from dockgate.store.engine import Database
from dockgate.store.images.scan_contents import ReadPlatform, replace_platforms
from dockgate.store.queries import select_as
from dockgate.store.records import Scan, ScanState
from dockgate.store.schema.fleet import fleet_images, fleet_state
from dockgate.store.schema.images import scans
from dockgate.store.statements import insert_if_new, lock_name

# The name of the row of `fleet_state` with the worker that rescans images, and its version of the scanner.
_READER = "reader"
_IS_DONE = scans.c.state == ScanState.DONE


class _Turn(NamedTuple):
    """The worker that rescans images, and its version of the scanner: as text, "WORKER VERSION"."""

    worker: str
    version: str

    def __str__(self) -> str:
        return " ".join(self)

    @classmethod
    def parse(cls, text: str) -> "_Turn":
        """Read a turn. A version contains no space."""
        worker, _, version = text.rpartition(" ")
        return cls(worker, version)


class Rescans:
    """The finished scans by the version of the scanner that ran them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_versions(self) -> set[str | None]:
        """The versions of the scanner whose inventories are stored.

        None for images that were read before versions were recorded.
        """
        with self._database.read() as connection:
            return set(connection.scalars(select(scans.c.scanner).where(_IS_DONE).distinct()))

    def select(self, versions: Collection[str | None], first_images: Collection[str], limit: int) -> Sequence[Scan]:
        """At most `limit` finished scans by these versions.

        Those of `first_images` come first, then the newest images. Without the images that are gone.
        """
        names = sorted(name for name in versions if name is not None)
        is_of = or_(scans.c.scanner.in_(names), scans.c.scanner.is_(None) if None in versions else literal(False))
        rank = case((scans.c.image.in_(sorted(first_images)), 0), else_=1)
        query = (
            select_as(Scan, scans)
            .outerjoin(fleet_images, fleet_images.c.digest == scans.c.image)
            .where(_IS_DONE, is_of, fleet_images.c.gone_at.is_(None))
            .order_by(rank, scans.c.requested_at.desc(), scans.c.image)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [Scan(**row) for row in connection.execute(query).mappings()]

    def take_turn(self, worker: str, version: str, is_replaced: Callable[[str, str], bool]) -> bool:
        """Make a worker the one that rescans images, by its version of the scanner. Returns whether it is.

        One worker at a time has the turn, until `is_replaced` says of it (by its id and version) that another may take
        it.
        """
        turn = str(_Turn(worker, version))
        present_reader = select(fleet_state.c.value).where(fleet_state.c.name == _READER)
        with self._database.read() as connection:
            if connection.scalar(present_reader) == turn:
                return True
        with self._database.write() as connection:
            lock_name(connection, fleet_state, _READER)
            if insert_if_new(connection, fleet_state, {"name": _READER, "value": turn}):
                return True
            last = _Turn.parse(str(connection.scalar(present_reader)))
            if last.worker != worker and not is_replaced(*last):
                return False
            connection.execute(update(fleet_state).where(fleet_state.c.name == _READER).values(value=turn))
            return True

    def record(self, scan: Scan, platforms: Sequence[ScannedPlatform], scanner: str, now: str) -> bool:
        """Replace what a finished scan has read by what the version `scanner` has read.

        False, and nothing changes, if the image was scanned or read again meanwhile. The scan's number stays, and what
        decides (verdicts, approvals) keeps its inputs.
        """
        is_same = scans.c.image == scan.image, scans.c.number == scan.number, _IS_DONE
        is_by_same_scanner = scans.c.scanner.is_(None) if scan.scanner is None else scans.c.scanner == scan.scanner
        change = update(scans).where(*is_same, is_by_same_scanner).values(scanner=scanner, finished_at=now)

        read_platforms = [ReadPlatform.from_platform(platform) for platform in platforms]

        def write(connection: Connection) -> bool:
            if connection.execute(change).rowcount == 0:
                return False
            replace_platforms(connection, {scan.image: read_platforms})
            return True

        return self._database.group_commit(write)
