"""Images: where they were pushed, their scans, and the inventories of these."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, Integer, bindparam, or_, select, union, update

from dockgate.events.model import PushEvent
from dockgate.scanner.model import Inventory, ScannedPlatform
from dockgate.shared.canonical import decode
from dockgate.shared.digest import from_hex
from dockgate.store.documents import decompress_document
from dockgate.store.engine import Database
from dockgate.store.fleet.due_images import mark_due
from dockgate.store.images.push_records import write_push, write_pushes
from dockgate.store.images.scan_contents import ReadPlatform, read_scan, replace_platforms
from dockgate.store.images.scan_requests import find_newest_scan, lock_scan, request_next_scan, request_scan
from dockgate.store.images.tag_history import lock_tags
from dockgate.store.queries import is_one_of, make_prefix_conditions, make_text_list, select_as
from dockgate.store.records import ImageLocation, PushedImage, Scan, ScanState, TagMove
from dockgate.store.schema.fleet import fleet_images
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import pushed_images, scan_inventories, scans, tag_moves
from dockgate.store.schema.store import documents

# Digests with one beginning that are read for readers who see some of them.
MAX_DIGESTS_READ = 1000

_INVENTORIES = (
    select(documents.c.body)
    .join(scan_inventories, scan_inventories.c.digest == documents.c.digest)
    .where(scan_inventories.c.image == bindparam("image"))
    .order_by(scan_inventories.c.position)
)
_FINISH_SCAN = update(scans).where(
    scans.c.image == bindparam("of_image"),
    scans.c.number == bindparam("of_number"),
    scans.c.state == ScanState.REQUESTED,
)
_UNJUDGE = (
    update(pushed_images)
    .where(is_one_of(pushed_images.c.digest, "images"), pushed_images.c.judged_at.is_not(None))
    .values(judged_at=None)
)
_PUSHED_IMAGE = select_as(PushedImage, pushed_images)
_PUSHERS = (
    select(pushed_images.c.pushed_by)
    .where(pushed_images.c.digest == bindparam("digest"), pushed_images.c.repository == bindparam("repository"))
    .distinct()
)
_ALL_PUSHERS = select(pushed_images.c.pushed_by).where(pushed_images.c.digest == bindparam("digest")).distinct()
_PUSHERS_BY_LOCATION = (
    select(pushed_images.c.repository, pushed_images.c.digest, pushed_images.c.pushed_by)
    .where(is_one_of(pushed_images.c.digest, "images"))
    .distinct()
)
_MOVES = (
    select_as(TagMove, tag_moves)
    .where(or_(tag_moves.c.digest == bindparam("digest"), tag_moves.c.previous == bindparam("digest")))
    .order_by(tag_moves.c.seq.desc())
)
_UNJUDGED_IMAGES = (
    select(pushed_images.c.digest)
    .join(scans, scans.c.image == pushed_images.c.digest)
    .where(pushed_images.c.judged_at.is_(None), scans.c.state != ScanState.REQUESTED)
    .distinct()
    .order_by(pushed_images.c.digest)
    .limit(bindparam("limit", type_=Integer))
)
_UNJUDGED_REPOSITORIES = (
    select(pushed_images.c.repository)
    .where(pushed_images.c.digest == bindparam("image"), pushed_images.c.judged_at.is_(None))
    .distinct()
    .order_by(pushed_images.c.repository)
)
_MARK_JUDGED = (
    update(pushed_images)
    .where(pushed_images.c.repository == bindparam("of_repository"), pushed_images.c.digest == bindparam("of_image"))
    .where(
        select(scans.c.number)
        .where(scans.c.image == bindparam("of_image"), scans.c.number == bindparam("of_scan"))
        .exists()
    )
    .values(judged_at=bindparam("now"))
)
_SCAN_STATES = select(scans.c.image, scans.c.number, scans.c.state).where(is_one_of(scans.c.image, "images"))
_REQUESTED_SCANS = (
    select_as(Scan, scans).where(scans.c.state == ScanState.REQUESTED).order_by(scans.c.requested_at, scans.c.image)
)
_INVENTORY_DIGESTS = (
    select(scan_inventories.c.digest)
    .where(scan_inventories.c.image == bindparam("image"))
    .order_by(scan_inventories.c.position)
)
_UNINDEXED_IMAGES = (
    select(scans.c.image)
    .outerjoin(fleet_images, fleet_images.c.digest == scans.c.image)
    .where(
        scans.c.state == ScanState.DONE,
        or_(fleet_images.c.id.is_(None), fleet_images.c.scanned_at != scans.c.finished_at),
    )
    .order_by(scans.c.finished_at, scans.c.image)
    .limit(bindparam("limit", type_=Integer))
)


class Images:
    """Images: pushes, tags, scans and inventories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_push(self, event: PushEvent) -> Scan | None:
        """Store an IMAGE_PUSH event, the push, the tag's move and a scan request, in one transaction.

        Returns the scan as `request_scan` does; None when the event is known already.
        """
        return self._database.write_in_batch(write_pushes, event)

    def add_push(self, image: PushedImage) -> None:
        """Store a push: one row for each digest under a tag, with its latest time.

        A push by the server itself keeps the server as pusher; otherwise the first known pusher stays.
        """
        with self._database.write() as connection:
            lock_tags(connection, [(image.repository, image.tag)])
            write_push(connection, image)

    def list_pushers(self, repository: str, digest: str) -> Sequence[str | None]:
        """Return who pushed the digest to this repository, under any tag; None is an unknown pusher."""
        with self._database.read() as connection:
            names = connection.scalars(_PUSHERS, {"repository": repository, "digest": digest}).all()
        return sorted(names, key=lambda name: name or "")

    def list_all_pushers(self, digest: str) -> Sequence[str | None]:
        """Return who pushed the digest to any repository; None means an unknown pusher."""
        with self._database.read() as connection:
            names = connection.scalars(_ALL_PUSHERS, {"digest": digest}).all()
        return sorted(names, key=lambda name: name or "")

    def list_pushers_by_location(self, images: Collection[str]) -> Mapping[ImageLocation, Collection[str]]:
        """Return who pushed these images to each repository, sorted; "" is an unknown pusher."""
        pushers: dict[ImageLocation, set[str]] = {}
        with self._database.read() as connection:
            rows = connection.execute(_PUSHERS_BY_LOCATION, {"images": make_text_list(sorted(images))})
            for repository, digest, name in rows:
                pushers.setdefault(ImageLocation(repository, digest), set()).add(name or "")
        return {location: sorted(names) for location, names in pushers.items()}

    def list_tag_moves(self, digest: str) -> Sequence[TagMove]:
        """The moves of tags to this digest and away from it, newest first."""
        with self._database.read() as connection:
            return [TagMove(**row) for row in connection.execute(_MOVES, {"digest": digest}).mappings()]

    def list_pushed(self, digest: str | None = None, limit: int | None = None) -> Sequence[PushedImage]:
        """Pushed images, newest first: of one digest if given, at most `limit`."""
        table = pushed_images.c
        query = _PUSHED_IMAGE.order_by(table.pushed_at.desc(), table.repository, table.tag, table.digest)
        query = query.limit(limit)
        if digest is not None:
            query = query.where(table.digest == digest)
        with self._database.read() as connection:
            return [PushedImage(**row) for row in connection.execute(query).mappings()]

    def list_pushed_repositories(self) -> Sequence[str]:
        """The repositories that images were pushed to, in alphabetical order."""
        query = select(pushed_images.c.repository).distinct().order_by(pushed_images.c.repository)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def request_scan(self, image: str, repository: str, now: str) -> Scan:
        """Request a scan and return it. A requested or completed scan is returned unchanged.

        After a failed scan, and of an image that was gone, a new one is requested under the next number.
        """
        with self._database.write() as connection:
            return request_scan(connection, image, repository, now)

    def request_new_scan(self, image: str, repository: str, after: int, now: str) -> Scan:
        """Request another scan of an image that was scanned. Return the newest scan.

        Does nothing unless the scan number `after` is the newest one, and has ended.
        """
        with self._database.write() as connection:
            present_scan = lock_scan(connection, image)
            if present_scan.number != after or present_scan.state is ScanState.REQUESTED:
                return present_scan
            return request_next_scan(connection, present_scan, repository, now)

    def list_unjudged(self, limit: int) -> Sequence[str]:
        """Pushed images that were not judged since their push or scan, and whose scan has ended; sorted."""
        with self._database.read() as connection:
            return list(connection.scalars(_UNJUDGED_IMAGES, {"limit": limit}))

    def list_unjudged_repositories(self, image: str) -> Sequence[str]:
        """The repositories in which a pushed image was not judged, sorted."""
        with self._database.read() as connection:
            return list(connection.scalars(_UNJUDGED_REPOSITORIES, {"image": image}))

    def mark_judged(self, repository: str, image: str, scan: int, now: str) -> None:
        """Record that a pushed image was judged in a repository.

        Unless a scan of another number has been requested.
        """
        parameters = {"of_repository": repository, "of_image": image, "of_scan": scan, "now": now}
        with self._database.write() as connection:
            connection.execute(_MARK_JUDGED, parameters)

    def find_newest_scan(self, image: str) -> Scan | None:
        """The newest scan of an image, None without one."""
        with self._database.read() as connection:
            return find_newest_scan(connection, image)

    def list_scan_revisions(self, images: Collection[str]) -> Mapping[str, str]:
        """Return a text for each of these images that has a scan, which changes with the newest scan.

        It also changes with the state of the scan.
        """
        with self._database.read() as connection:
            rows = connection.execute(_SCAN_STATES, {"images": make_text_list(sorted(images))})
            return {image: f"{number} {state}" for image, number, state in rows}

    def list_requested_scans(self) -> Sequence[Scan]:
        """The scans that are not done yet, oldest first."""
        with self._database.read() as connection:
            return [Scan(**row) for row in connection.execute(_REQUESTED_SCANS).mappings()]

    def finish_scan(
        self,
        image: str,
        number: int,
        platforms: Sequence[ScannedPlatform],
        reason: str | None,
        now: str,
        *,
        is_image: bool = True,
        scanner: str | None = None,
    ) -> None:
        """End a scan: DONE with what it has read; FAILED if there is a reason, or NOT_AN_IMAGE.

        Does nothing unless the scan of this number is requested. A failed scan has no inventories. `scanner` is the
        version that read the image. Its pushes are due to be judged.
        """
        failed_state = ScanState.FAILED if is_image else ScanState.NOT_AN_IMAGE
        state = failed_state if reason else ScanState.DONE
        read_platforms = () if reason else [ReadPlatform.from_platform(platform) for platform in platforms]
        end = _ScanEnd(image, number, state, reason, now, scanner, read_platforms)
        self._database.write_in_batch(_end_scans, end)

    def list_inventories(self, image: str) -> Sequence[Inventory]:
        """The inventories of an image, in the order of its scan; none before a completed scan."""
        with self._database.read() as connection:
            bodies = connection.scalars(_INVENTORIES, {"image": image}).all()
        return [decode(Inventory, decompress_document(body)) for body in bodies]

    def read_scan_with_platforms(self, image: str) -> tuple[Scan | None, Sequence[ScannedPlatform]]:
        """The newest scan of an image, and the inventories that it or an earlier one has read.

        They have the origins of their layers.
        """
        with self._database.read() as connection:
            return read_scan(connection, image)

    def list_inventory_digests(self, image: str) -> Sequence[str]:
        """The digests of the image's inventories, in the order of its scan."""
        with self._database.read() as connection:
            return list(connection.scalars(_INVENTORY_DIGESTS, {"image": image}))

    def list_unindexed(self, limit: int) -> Sequence[str]:
        """Images whose finished scan is not in the fleet index yet, at most `limit`, the oldest scans first."""
        with self._database.read() as connection:
            return list(connection.scalars(_UNINDEXED_IMAGES, {"limit": limit}))

    def find_digests(
        self, kind: str, start: str, limit: int, can_see: Callable[[str, str], bool] | None = None
    ) -> Sequence[tuple[str, str]]:
        """The digests of images or verdicts that begin with `start`, each with its image.

        The kind is "image" or "verdict". `start` is hexadecimal digits. Sorted by digest. With `can_see`, those that it
        refuses do not count; at most MAX_DIGESTS_READ are read.
        """
        if kind == "verdict":
            columns = [(verdicts.c.digest, verdicts.c.image)]
        else:
            columns = [(pushed_images.c.digest, pushed_images.c.digest), (scans.c.image, scans.c.image)]
        matches = union(
            *(
                select(digest.label("digest"), image.label("image")).where(
                    *make_prefix_conditions(digest, from_hex(start))
                )
                for digest, image in columns
            )
        ).subquery()
        query = select(matches.c.digest, matches.c.image).order_by(matches.c.digest)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit if can_see is None else MAX_DIGESTS_READ)).all()
        visible_rows = ((digest, image) for digest, image in rows if can_see is None or can_see(digest, image))
        return list(islice(visible_rows, limit))


@dataclass(frozen=True, slots=True)
class _ScanEnd:
    """The end of a scan, to be stored."""

    image: str
    number: int
    state: ScanState
    reason: str | None
    finished_at: str
    scanner: str | None
    platforms: Sequence[ReadPlatform]


def _end_scans(connection: Connection, ends: Sequence[_ScanEnd]) -> Sequence[None]:
    """Store the ends of those scans that are requested still."""
    stored_ends = [end for end in ends if _change_scan(connection, end)]
    if stored_ends:
        connection.execute(_UNJUDGE, {"images": make_text_list([end.image for end in stored_ends])})
        for end in stored_ends:
            if end.number > 1:
                mark_due(connection, end.image)
        replace_platforms(connection, {end.image: end.platforms for end in stored_ends})
    return [None] * len(ends)


def _change_scan(connection: Connection, end: _ScanEnd) -> bool:
    """End a scan. False unless it is requested."""
    key = {"of_image": end.image, "of_number": end.number}
    values = {name: getattr(end, name) for name in ("state", "reason", "finished_at", "scanner")}
    return connection.execute(_FINISH_SCAN, {**key, **values}).rowcount > 0
