"""Images that are no longer where they were: in one repository, and at last in none."""

from sqlalchemy import Connection, delete, func, insert, literal, select, tuple_, update

from dockgate.events.aws_events import make_image_deleted
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.fleet.records import TagPeriod
from dockgate.store.images.tag_history import lock_tags
from dockgate.store.records import ImageLocation
from dockgate.store.schema.fleet import fleet_images, fleet_tags, fleet_verdicts
from dockgate.store.schema.images import pushed_images, scan_inventories, scans
from dockgate.store.statements import insert_if_new, lock_rows


class ImageRemovals:
    """Removals of images. The index keeps what a removed image contained, for questions about the past."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_locations(self, after: ImageLocation | None, limit: int) -> list[ImageLocation]:
        """At most `limit` repositories and digests of images behind `after`, sorted; None: the first."""
        columns = pushed_images.c.repository, pushed_images.c.digest
        query = select(*columns).distinct()
        if after is not None:
            query = query.where(tuple_(*columns) > tuple_(*map(literal, after)))
        with self._database.read() as connection:
            return [ImageLocation(*row) for row in connection.execute(query.order_by(*columns).limit(limit))]

    def count_locations(self) -> int:
        """Count the pairs of repository and digest that `list_locations` lists in total."""
        locations = select(pushed_images.c.repository, pushed_images.c.digest).distinct().subquery()
        with self._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(locations)) or 0

    def remove(self, repository: str, image: str, now: str) -> bool:
        """Record that an image is no longer in a repository, with an event for each tag that it had there.

        Returns whether it is in no repository any more: it is gone then, and has no current verdict. A push or scan of
        the image brings it back.
        """
        with self._database.write() as connection:
            is_pushed = pushed_images.c.digest == image, pushed_images.c.repository == repository
            pushed_tags = connection.scalars(select(pushed_images.c.tag).where(*is_pushed)).all()
            if pushed_tags:
                lock_tags(connection, ((repository, tag) for tag in pushed_tags))
            index_row = lock_rows(select(fleet_images.c.id).where(fleet_images.c.digest == image))
            number = connection.scalar(index_row)
            is_here = fleet_tags.c.digest == image, fleet_tags.c.repository == repository, fleet_tags.c.until.is_(None)
            end_tags = update(fleet_tags).where(*is_here).values(until=now).returning(fleet_tags.c.tag)
            tags = set(connection.scalars(end_tags)) or ({None} if pushed_tags else set())
            connection.execute(delete(pushed_images).where(*is_pushed))
            is_gone = not _is_anywhere(connection, image)
            if is_gone and number is not None:
                _mark_gone(connection, number, now)
            elif is_gone:
                _forget_scan(connection, image)
            in_order = sorted(tags, key=lambda tag: tag or "")
            append_events(connection, [make_image_deleted(repository, image, tag, now) for tag in in_order])
        return is_gone

    def untag(self, repository: str, image: str, tag: str, now: str) -> bool:
        """Record that a tag names an image no longer, with an event. Returns whether it did until now.

        Without another tag, the image is in the repository by its digest.
        """
        with self._database.write() as connection:
            lock_tags(connection, [(repository, tag)])
            is_pushed = pushed_images.c.digest == image, pushed_images.c.repository == repository
            is_here = fleet_tags.c.digest == image, fleet_tags.c.repository == repository, fleet_tags.c.until.is_(None)
            end_tag = update(fleet_tags).where(*is_here, fleet_tags.c.tag == tag).values(until=now)
            if not connection.execute(end_tag).rowcount:
                return False
            push = connection.execute(select(pushed_images).where(*is_pushed, pushed_images.c.tag == tag)).first()
            connection.execute(delete(pushed_images).where(*is_pushed, pushed_images.c.tag == tag))
            if push is not None and connection.execute(select(pushed_images.c.tag).where(*is_pushed)).first() is None:
                connection.execute(insert(pushed_images).values({**push._asdict(), "tag": None}))
            if connection.execute(select(fleet_tags.c.id).where(*is_here)).first() is None:
                insert_if_new(connection, fleet_tags, TagPeriod(repository, None, image, now, now)._asdict())
            append_events(connection, [make_image_deleted(repository, image, tag, now)])
        return True


def _is_anywhere(connection: Connection, image: str) -> bool:
    """Return whether an image is in a repository. One whose tags have moved on is still there."""
    tags = select(fleet_tags.c.repository).where(fleet_tags.c.digest == image, fleet_tags.c.until.is_(None))
    pushes = select(pushed_images.c.repository).where(pushed_images.c.digest == image)
    return connection.execute(tags.union(pushes).limit(1)).first() is not None


def _mark_gone(connection: Connection, image: int, now: str) -> None:
    is_present = fleet_images.c.id == image, fleet_images.c.gone_at.is_(None)
    connection.execute(update(fleet_images).where(*is_present).values(gone_at=now))
    connection.execute(delete(fleet_verdicts).where(fleet_verdicts.c.image == image))


def _forget_scan(connection: Connection, image: str) -> None:
    """Delete the scan of an image that is not in the index: it would come into it later."""
    for table in (scan_inventories, scans):
        connection.execute(delete(table).where(table.c.image == image))
