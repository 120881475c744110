"""Images: where they were pushed, their scans, and the inventories of these."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, bindparam, or_, select, union, update

from dockgate.delivery.registry_access import SERVER
from dockgate.events import aws_events, dockgate_events
from dockgate.events.model import NewEvent, PushEvent
from dockgate.scanner.model import Inventory, ScannedPlatform
from dockgate.shared.canonical import decode
from dockgate.shared.digest import from_hex
from dockgate.store.documents import decompress_document
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.fleet.due_images import mark_due
from dockgate.store.images.scan_contents import read_scan, replace_platforms
from dockgate.store.images.tag_history import record_push
from dockgate.store.queries import make_prefix_conditions, select_as
from dockgate.store.records import PushedImage, Scan, ScanState, TagMove
from dockgate.store.schema.events import events
from dockgate.store.schema.fleet import fleet_images
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import pushed_images, scan_inventories, scans, tag_moves
from dockgate.store.schema.store import documents
from dockgate.store.statements import insert_if_new, lock_name, lock_rows

_INVENTORIES = (
    select(documents.c.body)
    .join(scan_inventories, scan_inventories.c.digest == documents.c.digest)
    .where(scan_inventories.c.image == bindparam("image"))
    .order_by(scan_inventories.c.position)
)
_SCAN = select_as(Scan, scans)
_SCAN_OF = _SCAN.where(scans.c.image == bindparam("image"))
_LOCKED_SCAN = lock_rows(_SCAN_OF)
_FINISH_SCAN = update(scans).where(
    scans.c.image == bindparam("of_image"),
    scans.c.number == bindparam("of_number"),
    scans.c.state == ScanState.REQUESTED,
)
_UNJUDGE = update(pushed_images).where(pushed_images.c.digest == bindparam("of_image")).values(judged_at=None)
_PUSHED_IMAGE = select_as(PushedImage, pushed_images)
_LATER_PUSH = (
    update(pushed_images)
    .where(*(column == bindparam(f"of_{column.name}") for column in pushed_images.primary_key))
    .where(pushed_images.c.pushed_at < bindparam("at"))
    .values(pushed_at=bindparam("at"))
)
_PUSHERS = (
    select(pushed_images.c.pushed_by)
    .where(pushed_images.c.digest == bindparam("digest"), pushed_images.c.repository == bindparam("repository"))
    .distinct()
)
_ALL_PUSHERS = select(pushed_images.c.pushed_by).where(pushed_images.c.digest == bindparam("digest")).distinct()
_TAGGED_DIGEST = (
    select(pushed_images.c.digest, pushed_images.c.pushed_at)
    .where(pushed_images.c.repository == bindparam("repository"), pushed_images.c.tag == bindparam("tag"))
    .order_by(pushed_images.c.pushed_at.desc())
    .limit(1)
)
_PUSH_KEY = ("repository", "tag", "digest")
_MOVE = select_as(TagMove, tag_moves)
_GONE_AT = select(fleet_images.c.gone_at).where(fleet_images.c.digest == bindparam("image"))


class Images:
    """Images: pushes, tags, scans and inventories."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_push(self, event: PushEvent) -> Scan | None:
        """Store an IMAGE_PUSH event, the push, the tag's move and a scan request, in one transaction.

        Returns the scan as `request_scan` does; None when the event is known already.
        """
        detail = event.detail
        pushed_at = detail.get("pushed_at", event.at)
        image = PushedImage(
            detail["repository"], detail["tag"], detail["digest"], pushed_at, pushed_by=detail.get("by") or None
        )

        def write(connection: Connection) -> Scan | None:
            lock_name(connection, pushed_images, f"{image.repository}:{image.tag}")
            if not insert_if_new(connection, events, asdict(replace(event, handled_at=event.at))):
                return None
            move = _record_move(connection, event.id, image)
            _push(connection, image)
            scan = _request(connection, image.digest, image.repository, event.at)
            append_events(connection, _make_push_events(event.id, image, move))
            return scan

        return self._database.group_commit(write)

    def add_push(self, image: PushedImage) -> None:
        """Store a push: one row for each digest under a tag, with its latest time.

        A push by the server itself keeps the server as pusher; otherwise the first known pusher stays.
        """
        with self._database.write() as connection:
            lock_name(connection, pushed_images, f"{image.repository}:{image.tag}")
            _push(connection, image)

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

    def list_tag_moves(self, digest: str) -> Sequence[TagMove]:
        """The moves of tags to this digest and away from it, newest first."""
        query = _MOVE.where(or_(tag_moves.c.digest == digest, tag_moves.c.previous == digest))
        with self._database.read() as connection:
            return [TagMove(**row) for row in connection.execute(query.order_by(tag_moves.c.seq.desc())).mappings()]

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
            return _request(connection, image, repository, now)

    def request_new_scan(self, image: str, repository: str, after: int, now: str) -> Scan:
        """Request another scan of an image that was scanned. Return the newest scan.

        Does nothing unless the scan number `after` is the newest one, and has ended.
        """
        with self._database.write() as connection:
            present_scan = Scan(**connection.execute(_LOCKED_SCAN, {"image": image}).mappings().one())
            if present_scan.number != after or present_scan.state is ScanState.REQUESTED:
                return present_scan
            return _request_next(connection, present_scan, repository, now)

    def list_unjudged(self, limit: int) -> Sequence[str]:
        """Pushed images that were not judged since their push or scan, and whose scan has ended; sorted."""
        query = (
            select(pushed_images.c.digest)
            .join(scans, scans.c.image == pushed_images.c.digest)
            .where(pushed_images.c.judged_at.is_(None), scans.c.state != ScanState.REQUESTED)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query.distinct().order_by(pushed_images.c.digest).limit(limit)))

    def list_unjudged_repositories(self, image: str) -> Sequence[str]:
        """The repositories in which a pushed image was not judged, sorted."""
        column = pushed_images.c.repository
        query = select(column).where(pushed_images.c.digest == image, pushed_images.c.judged_at.is_(None))
        with self._database.read() as connection:
            return list(connection.scalars(query.distinct().order_by(column)))

    def mark_judged(self, repository: str, image: str, scan: int, now: str) -> None:
        """Record that a pushed image was judged in a repository.

        Unless a scan of another number has been requested.
        """
        is_scan = select(scans.c.number).where(scans.c.image == image, scans.c.number == scan).exists()
        is_image = pushed_images.c.repository == repository, pushed_images.c.digest == image
        with self._database.write() as connection:
            connection.execute(update(pushed_images).where(*is_image, is_scan).values(judged_at=now))

    def find_newest_scan(self, image: str) -> Scan | None:
        """The newest scan of an image, None without one."""
        with self._database.read() as connection:
            return _scan(connection, image)

    def list_requested_scans(self) -> Sequence[Scan]:
        """The scans that are not done yet, oldest first."""
        query = _SCAN.where(scans.c.state == ScanState.REQUESTED).order_by(scans.c.requested_at, scans.c.image)
        with self._database.read() as connection:
            return [Scan(**row) for row in connection.execute(query).mappings()]

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
        change = {
            "of_image": image,
            "of_number": number,
            "state": state,
            "reason": reason,
            "finished_at": now,
            "scanner": scanner,
        }

        def write(connection: Connection) -> None:
            if connection.execute(_FINISH_SCAN, change).rowcount == 0:
                return
            connection.execute(_UNJUDGE, {"of_image": image})
            if number > 1:
                mark_due(connection, image)
            replace_platforms(connection, image, () if reason else platforms)

        self._database.group_commit(write)

    def list_inventories(self, image: str) -> Sequence[Inventory]:
        """The inventories of an image, in the order of its scan; empty without a completed scan."""
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
        query = select(scan_inventories.c.digest).where(scan_inventories.c.image == image)
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(scan_inventories.c.position)))

    def list_unindexed(self, limit: int) -> Sequence[str]:
        """Images whose finished scan is not in the fleet index yet, at most `limit`, the oldest scans first."""
        query = (
            select(scans.c.image)
            .outerjoin(fleet_images, fleet_images.c.digest == scans.c.image)
            .where(
                scans.c.state == ScanState.DONE,
                or_(fleet_images.c.id.is_(None), fleet_images.c.scanned_at != scans.c.finished_at),
            )
            .order_by(scans.c.finished_at, scans.c.image)
            .limit(limit)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def find_digests(self, kind: str, start: str, limit: int) -> Sequence[tuple[str, str]]:
        """The digests of images or verdicts that begin with `start`, each with its image.

        The kind is "image" or "verdict". `start` is hexadecimal digits. Sorted by digest.
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
        query = select(matches.c.digest, matches.c.image).order_by(matches.c.digest).limit(limit)
        with self._database.read() as connection:
            return [(digest, image) for digest, image in connection.execute(query)]


def _push(connection: Connection, image: PushedImage) -> None:
    has_changed = record_push(connection, image)
    if insert_if_new(connection, pushed_images, asdict(image)):
        has_changed = True
    else:
        key = {f"of_{column.name}": getattr(image, column.name) for column in pushed_images.primary_key}
        connection.execute(_LATER_PUSH, {**key, "at": image.pushed_at})
        if image.pushed_by and _change_pusher(connection, image, image.pushed_by):
            has_changed = True
    if has_changed:  # where it is, and who pushed it, decides whether the repository's waivers count for it
        mark_due(connection, image.digest)


def _change_pusher(connection: Connection, image: PushedImage, pusher: str) -> bool:
    """Record who pushed an image again, if that counts. Returns whether the pusher is another one than before."""
    change = update(pushed_images).where(*(pushed_images.c[name] == getattr(image, name) for name in _PUSH_KEY))
    pushed_by = pushed_images.c.pushed_by
    is_replaced = pushed_by.is_distinct_from(SERVER) if pusher == SERVER else pushed_by.is_(None)
    return connection.execute(change.where(is_replaced).values(pushed_by=pusher)).rowcount > 0


def _record_move(connection: Connection, event_id: str, image: PushedImage) -> TagMove | None:
    """Record that the tag had another digest so far, as its latest push says.

    Returns the move, None for none. A push that is older than that one moves nothing.
    """
    tag = {"repository": image.repository, "tag": image.tag}
    latest_image = connection.execute(_TAGGED_DIGEST, tag).first() if image.tag else None
    if latest_image is not None and latest_image.digest != image.digest and latest_image.pushed_at <= image.pushed_at:
        move = TagMove(
            event_id, image.repository, image.tag, latest_image.digest, image.digest, image.pushed_at, image.pushed_by
        )
        insert_if_new(connection, tag_moves, asdict(move))
        return move
    return None


def _make_push_events(push: str, image: PushedImage, move: TagMove | None) -> Sequence[NewEvent]:
    push_event = aws_events.make_image_pushed(push, image.repository, image.digest, image.tag or None, image.pushed_at)
    if move is None:
        return [push_event]
    move_event = dockgate_events.make_tag_moved(
        push=push,
        repository=move.repository,
        tag=move.tag,
        previous=move.previous,
        image=move.digest,
        by=move.pushed_by,
        time=move.moved_at,
    )
    return [push_event, move_event]


def _request(connection: Connection, image: str, repository: str, now: str) -> Scan:
    present_scan = _scan(connection, image)
    if present_scan is None:
        scan = Scan(image, repository, ScanState.REQUESTED, 1, requested_at=now)
        if insert_if_new(connection, scans, asdict(scan)):
            return scan
    elif not _is_outdated(connection, present_scan):
        return present_scan
    present_scan = Scan(**connection.execute(_LOCKED_SCAN, {"image": image}).mappings().one())
    if not _is_outdated(connection, present_scan):
        return present_scan
    return _request_next(connection, present_scan, repository, now)


def _is_outdated(connection: Connection, scan: Scan) -> bool:
    """Return whether a request for a scan needs a new one: it has failed, or the image was gone after it."""
    if scan.state is ScanState.DONE:
        gone_at = connection.scalar(_GONE_AT, {"image": scan.image})
        return gone_at is not None and gone_at >= scan.requested_at
    return scan.state.has_failed


def _request_next(connection: Connection, present_scan: Scan, repository: str, now: str) -> Scan:
    scan = Scan(present_scan.image, repository, ScanState.REQUESTED, present_scan.number + 1, requested_at=now)
    connection.execute(update(scans).where(scans.c.image == present_scan.image).values(**asdict(scan)))
    return scan


def _scan(connection: Connection, image: str) -> Scan | None:
    row = connection.execute(_SCAN_OF, {"image": image}).mappings().first()
    return None if row is None else Scan(**row)
