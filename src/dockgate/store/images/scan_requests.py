"""Requests for scans."""

from dataclasses import asdict

from sqlalchemy import Connection, bindparam, select, update

from dockgate.store.queries import select_as
from dockgate.store.records import Scan, ScanState
from dockgate.store.schema.fleet import fleet_images
from dockgate.store.schema.images import scans
from dockgate.store.statements import insert_if_new, lock_rows

_SCAN_OF = select_as(Scan, scans).where(scans.c.image == bindparam("image"))
_LOCKED_SCAN = lock_rows(_SCAN_OF)
_GONE_AT = select(fleet_images.c.gone_at).where(fleet_images.c.digest == bindparam("image"))


def request_scan(connection: Connection, image: str, repository: str, now: str) -> Scan:
    """Request a scan and return it. A requested or completed one is returned unchanged.

    See `Images.request_scan`.
    """
    present_scan = find_newest_scan(connection, image)
    if present_scan is None:
        scan = Scan(image, repository, ScanState.REQUESTED, 1, requested_at=now)
        if insert_if_new(connection, scans, asdict(scan)):
            return scan
    elif not _is_outdated(connection, present_scan):
        return present_scan
    present_scan = lock_scan(connection, image)
    if not _is_outdated(connection, present_scan):
        return present_scan
    return request_next_scan(connection, present_scan, repository, now)


def _is_outdated(connection: Connection, scan: Scan) -> bool:
    """Return whether a request for a scan needs a new one: it has failed, or the image was gone after it."""
    if scan.state is ScanState.DONE:
        gone_at = connection.scalar(_GONE_AT, {"image": scan.image})
        return gone_at is not None and gone_at >= scan.requested_at
    return scan.state.has_failed


def request_next_scan(connection: Connection, present_scan: Scan, repository: str, now: str) -> Scan:
    """Request another scan of an image whose newest scan is locked."""
    scan = Scan(present_scan.image, repository, ScanState.REQUESTED, present_scan.number + 1, requested_at=now)
    connection.execute(update(scans).where(scans.c.image == present_scan.image).values(**asdict(scan)))
    return scan


def find_newest_scan(connection: Connection, image: str) -> Scan | None:
    """The newest scan of an image, None without one."""
    row = connection.execute(_SCAN_OF, {"image": image}).mappings().first()
    return None if row is None else Scan(**row)


def lock_scan(connection: Connection, image: str) -> Scan:
    """Lock the newest scan of an image that has one."""
    return Scan(**connection.execute(_LOCKED_SCAN, {"image": image}).mappings().one())
