"""Remove old rows of the fleet index: images that are gone, findings that ended, parts of old scans.

Rows that only removed images need are removed with them. The index then cannot answer any more about the time before
(`RETAINED_SINCE`).
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, tuple_, update

from dockgate.store.engine import Database
from dockgate.store.fleet import bundles as content_of_bundles
from dockgate.store.fleet.findings import RETAINED_SINCE
from dockgate.store.fleet.index import COLLECTION
from dockgate.store.queries import split_into_batches
from dockgate.store.schema.delivery import approvals
from dockgate.store.schema.fleet import (
    fleet_aliases,
    fleet_bundle_components,
    fleet_bundles,
    fleet_components,
    fleet_due_images,
    fleet_ended_verdicts,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_news,
    fleet_past_findings,
    fleet_platforms,
    fleet_state,
    fleet_tags,
    fleet_undetermined,
    fleet_verdicts,
    fleet_vulnerabilities,
)
from dockgate.store.schema.gate import reports
from dockgate.store.schema.images import pushed_images, scan_inventories, scans
from dockgate.store.statements import insert_if_new, lock_rows, try_lock_name

# Images that leave in one transaction, and findings.
BATCH = 200
FINDINGS_BATCH = 5_000


class FleetRetention:
    """The removal of images from the index.

    The caller has the lock `store.fleet.findings.MATCHING`: ids may be used again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def count_gone(self, before: str) -> int:
        """Count the images that `delete_gone` would delete in all."""
        query = select(func.count()).select_from(fleet_images).where(*_is_gone(before))
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def delete_gone(self, before: str) -> int:
        """Delete some images that are gone since before that time, with their scans and reports.

        Returns how many. An image that an approval names stays. 0 if nothing is due, or while another process adds
        images.
        """
        with self._database.write() as connection:
            if not try_lock_name(connection, fleet_bundles, COLLECTION):
                return 0
            rows = lock_rows(select(fleet_images.c.id, fleet_images.c.digest).where(*_is_gone(before)).limit(BATCH))
            images = {row[0]: row[1] for row in connection.execute(rows)}
            if images:
                _delete_images(connection, list(images), list(images.values()))
                _record_deletion(connection, before)
            return len(images)

    def count_past_findings(self, before: str) -> int:
        """Count the findings that `delete_past_findings` would delete in all."""
        query = select(func.count()).select_from(fleet_past_findings).where(fleet_past_findings.c.closed < before)
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def delete_past_findings(self, before: str) -> int:
        """Delete some findings that ended before that time. Returns how many."""
        key = fleet_past_findings.primary_key.columns
        query = select(*key).where(fleet_past_findings.c.closed < before)
        with self._database.write() as connection:
            rows = connection.execute(query.order_by(fleet_past_findings.c.closed).limit(FINDINGS_BATCH)).all()
            for part in split_into_batches(rows):
                connection.execute(delete(fleet_past_findings).where(tuple_(*key).in_([tuple(row) for row in part])))
            if rows:
                _record_deletion(connection, before)
            return len(rows)

    def delete_orphans(self) -> int:
        """Delete some bundles of earlier scans, which no image has any more. Returns how many.

        0 if nothing is due, or while another process adds images.
        """
        has_image = exists().where(fleet_image_bundles.c.bundle == fleet_bundles.c.id)
        with self._database.write() as connection:
            if not try_lock_name(connection, fleet_bundles, COLLECTION):
                return 0
            bundles = connection.scalars(select(fleet_bundles.c.id).where(~has_image).limit(BATCH)).all()
            _delete_unused(connection, bundles)
            return len(bundles)

    def delete_vulnerabilities(self) -> int:
        """Delete the vulnerabilities that no component has or had. Returns how many."""
        number = fleet_vulnerabilities.c.id
        tables = (fleet_findings, fleet_past_findings, fleet_news)
        is_named = (exists().where(table.c.vulnerability == number) for table in tables)
        with self._database.write() as connection:
            unused_ids = connection.scalars(select(number).where(*(~condition for condition in is_named))).all()
            for part in split_into_batches(unused_ids):
                connection.execute(delete(fleet_aliases).where(fleet_aliases.c.vulnerability.in_(part)))
                connection.execute(delete(fleet_vulnerabilities).where(number.in_(part)))
            return len(unused_ids)


def _record_deletion(connection: Connection, before: str) -> None:
    """Record that rows were deleted which say what was before that time."""
    if not insert_if_new(connection, fleet_state, {"name": RETAINED_SINCE, "value": before}):
        is_earlier = fleet_state.c.name == RETAINED_SINCE, fleet_state.c.value < before
        connection.execute(update(fleet_state).where(*is_earlier).values(value=before))


def _is_gone(before: str) -> tuple[ColumnElement[bool], ...]:
    digest = fleet_images.c.digest
    return (
        fleet_images.c.gone_at.is_not(None),
        fleet_images.c.gone_at < before,
        *(~exists().where(column == digest) for column in (pushed_images.c.digest, approvals.c.image)),
    )


def _delete_images(connection: Connection, ids: Sequence[int], digests: Sequence[str]) -> None:
    table = fleet_image_bundles.c
    bundles = set(connection.scalars(select(table.bundle).where(table.image.in_(ids))))
    for column in (
        table.image,
        fleet_platforms.c.image,
        fleet_verdicts.c.image,
        fleet_ended_verdicts.c.image,
        fleet_images.c.id,
    ):
        connection.execute(delete(column.table).where(column.in_(ids)))
    for name in (
        fleet_tags.c.digest,
        fleet_due_images.c.image,
        scan_inventories.c.image,
        scans.c.image,
        reports.c.image,
    ):
        connection.execute(delete(name.table).where(name.in_(digests)))
    _delete_unused(connection, bundles - set(_iterate_present(connection, table.bundle, bundles)))


def _delete_unused(connection: Connection, bundles: Collection[int]) -> None:
    """Delete bundles that no image has, and their components that no other bundle has."""
    components = _delete_bundles(connection, bundles)
    used_components = set(_iterate_present(connection, fleet_bundle_components.c.component, components))
    for part in split_into_batches(sorted(components - used_components)):
        for number in (
            fleet_findings.c.component,
            fleet_past_findings.c.component,
            fleet_news.c.component,
            fleet_undetermined.c.component,
            fleet_components.c.id,
        ):
            connection.execute(delete(number.table).where(number.in_(part)))


def _delete_bundles(connection: Connection, bundles: Collection[int]) -> set[int]:
    """Delete bundles. Returns the components that were in them."""
    component_ids: set[int] = set()
    for part in split_into_batches(sorted(bundles)):
        for content in connection.scalars(select(fleet_bundles.c.content).where(fleet_bundles.c.id.in_(part))):
            for kind in content_of_bundles.decode(content):
                component_ids.update(kind)
        table = fleet_bundle_components.c
        for components in split_into_batches(sorted(component_ids)):
            is_there = table.component.in_(components), table.bundle.in_(part)
            connection.execute(delete(fleet_bundle_components).where(*is_there))
        connection.execute(delete(fleet_bundles).where(fleet_bundles.c.id.in_(part)))
    return component_ids


def _iterate_present(connection: Connection, column: ColumnElement[int], values: Iterable[int]) -> Iterable[int]:
    for part in split_into_batches(sorted(values)):
        yield from connection.scalars(select(column).where(column.in_(part)).distinct())
