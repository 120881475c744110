"""The images that are somewhere, and of which the index has nothing."""

from typing import Any

from sqlalchemy import ColumnElement, Select, except_, exists, literal_column, or_, select

from dockgate.store.exposure.records import ExposureScope
from dockgate.store.exposure.scopes import has_begun_by, is_at, is_in
from dockgate.store.records import ScanState
from dockgate.store.schema.fleet import fleet_images, fleet_tags
from dockgate.store.schema.images import scans


def select_unindexed_images(scope: ExposureScope, *, is_sqlite: bool) -> Select[Any]:
    """The rows of `Exposures.list_unindexed_images`. Running images do not matter."""
    is_most_frequent = scope._replace(running_images=()) == ExposureScope()
    return _PRESENT_IMAGES[is_sqlite] if is_most_frequent else _select(scope, is_sqlite=is_sqlite)


def _select(scope: ExposureScope, *, is_sqlite: bool) -> Select[Any]:
    tags = fleet_tags.c
    is_unindexed: ColumnElement[bool]
    indexed_digests = select(fleet_images.c.digest)
    if scope.at is not None:
        indexed_digests = indexed_digests.where(fleet_images.c.seen_at <= scope.at)
    if is_sqlite:
        # In this order it merges two indexes, three times faster than looking for each digest in the other one.
        unindexed_digests = except_(select(tags.digest), indexed_digests).order_by(literal_column("1")).subquery()
        is_unindexed = tags.digest.in_(select(unindexed_digests.c.digest))
    else:
        images = indexed_digests.subquery()
        is_unindexed = ~exists().where(images.c.digest == tags.digest)
    return (
        select(tags.digest, tags.repository, tags.tag, scans.c.state, scans.c.reason, fleet_images.c.id.is_not(None))
        .outerjoin(scans, scans.c.image == tags.digest)
        .outerjoin(fleet_images, fleet_images.c.digest == tags.digest)
        .where(
            is_unindexed,
            or_(scans.c.state.is_(None), scans.c.state != ScanState.NOT_AN_IMAGE),
            has_begun_by(scope.at) if scope.should_include_moved else is_at(scope.at),
            is_in(scope.repositories),
        )
        .order_by(tags.pushed_at.desc(), tags.id.desc())
    )


# Those of all repositories now, by whether the database is SQLite.
_PRESENT_IMAGES = {is_sqlite: _select(ExposureScope(), is_sqlite=is_sqlite) for is_sqlite in (False, True)}
