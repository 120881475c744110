"""Write pushes that registries report, several in one transaction.

Most pushes repeat what is known: the tag names the image already, which was scanned or will be. Those that arrive
together share their statements, and change only times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from dockgate.delivery.registry_access import SERVER
from dockgate.events import aws_events, dockgate_events
from dockgate.events.model import NewEvent, PushEvent
from dockgate.store.events.log import append_events
from dockgate.store.fleet.due_images import mark_due
from dockgate.store.images.scan_requests import request_scan
from dockgate.store.images.tag_history import lock_tags, record_tag
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.records import PushedImage, Scan, ScanState, TagMove
from dockgate.store.schema.events import events
from dockgate.store.schema.fleet import fleet_images, fleet_tags
from dockgate.store.schema.images import pushed_images, scans, tag_moves
from dockgate.store.statements import insert_all_if_new, insert_if_new, update_all

_LATER_PUSH = (
    update(pushed_images)
    .where(*(column == bindparam(f"of_{column.name}") for column in pushed_images.primary_key))
    .where(pushed_images.c.pushed_at < bindparam("at"))
    .values(pushed_at=bindparam("at"))
)
_PRESENT_DIGEST = (
    select(fleet_tags.c.digest)
    .where(
        fleet_tags.c.repository == bindparam("repository"),
        fleet_tags.c.tag == bindparam("tag"),
        fleet_tags.c.until.is_(None),
    )
    .limit(1)
    .scalar_subquery()
)
# The image that was pushed last under a tag. Of several at the same time, it is the one that the tag names now.
_TAGGED_DIGEST = (
    select(pushed_images.c.digest, pushed_images.c.pushed_at)
    .where(pushed_images.c.repository == bindparam("repository"), pushed_images.c.tag == bindparam("tag"))
    .order_by(
        pushed_images.c.pushed_at.desc(),
        pushed_images.c.digest.is_distinct_from(_PRESENT_DIGEST),
        pushed_images.c.digest,
    )
    .limit(1)
)
_PUSH_KEY = ("repository", "tag", "digest")


_PUSHES = pushed_images.c
_LATER_IMAGE = pushed_images.alias("later_image").c
# Whether an image was pushed under the tag that is not older: the tag may have moved.
_HAS_OTHER = (
    select(_LATER_IMAGE.digest)
    .where(_LATER_IMAGE.repository == _PUSHES.repository, _LATER_IMAGE.tag == _PUSHES.tag, _LATER_IMAGE.tag != "")
    .where(_LATER_IMAGE.digest != _PUSHES.digest, _LATER_IMAGE.pushed_at >= _PUSHES.pushed_at)
    .exists()
)
# Images that their tags name, and that need no new scan.
_KNOWN_PUSHES = (
    select_as(Scan, scans)
    .add_columns(_PUSHES.repository, _PUSHES.tag, _PUSHES.pushed_at, _PUSHES.pushed_by)
    .add_columns(fleet_tags.c.id, fleet_tags.c.pushed_at)
    .select_from(pushed_images)
    .join(
        fleet_tags,
        and_(
            fleet_tags.c.repository == _PUSHES.repository,
            fleet_tags.c.tag == _PUSHES.tag,
            fleet_tags.c.digest == _PUSHES.digest,
            fleet_tags.c.until.is_(None),
        ),
    )
    .join(scans, scans.c.image == _PUSHES.digest)
    .outerjoin(fleet_images, fleet_images.c.digest == _PUSHES.digest)
    .where(is_one_of(_PUSHES.digest, "digests"), is_one_of(_PUSHES.tag, "tags"), ~_HAS_OTHER)
    .where(
        or_(
            scans.c.state == ScanState.REQUESTED,
            and_(
                scans.c.state == ScanState.DONE,
                or_(fleet_images.c.gone_at.is_(None), fleet_images.c.gone_at < scans.c.requested_at),
            ),
        )
    )
)


class _KnownPush(NamedTuple):
    """A push that is on record, with the scan of its image and the period of its tag."""

    scan: Scan
    repository: str
    tag: str | None
    pushed_at: str
    pushed_by: str | None
    period: int
    period_pushed_at: str


def write_pushes(connection: Connection, pushes: Sequence[PushEvent]) -> Sequence[Scan | None]:
    """Store pushes as if one came after the other. See `Images.record_push`."""
    images = [_read_image(push) for push in pushes]
    lock_tags(connection, ((image.repository, image.tag) for image in images))
    rows = [asdict(replace(push, handled_at=push.at)) for push in pushes]
    new_ids = insert_all_if_new(connection, events, rows, events.c.id)
    scans_by_id: dict[str, Scan] = {}
    new_events: list[NewEvent] = []
    for part in _split_by_image(pushes, images, new_ids):
        known_pushes = _find_known_pushes(connection, [image for _, image in part])
        repeated_pushes = []
        for push, image in part:
            known_push = known_pushes.get((image.repository, image.tag, image.digest))
            move = None
            if known_push is not None and image.pushed_by in (None, known_push.pushed_by):
                repeated_pushes.append((known_push, image))
                scans_by_id[push.id] = known_push.scan
            else:
                move = _record_move(connection, push.id, image)
                write_push(connection, image)
                scans_by_id[push.id] = request_scan(connection, image.digest, image.repository, push.at)
            new_events += _make_push_events(push.id, image, move)
        _write_repeated(connection, repeated_pushes)
    append_events(connection, new_events)
    return [scans_by_id.pop(push.id, None) for push in pushes]


def _read_image(push: PushEvent) -> PushedImage:
    detail = push.detail
    pushed_at = detail.get("pushed_at", push.at)
    pushed_by = detail.get("by") or None
    return PushedImage(detail["repository"], detail.get("tag"), detail["digest"], pushed_at, pushed_by=pushed_by)


def _split_by_image(
    pushes: Sequence[PushEvent], images: Sequence[PushedImage], new_ids: set[str]
) -> Iterator[Sequence[tuple[PushEvent, PushedImage]]]:
    """Split the new pushes so that no part has two of the same tag, or of the same image."""
    part: dict[str, tuple[PushEvent, PushedImage]] = {}
    keys: set[tuple[str | None, ...]] = set()
    seen_ids: set[str] = set()
    for push, image in zip(pushes, images, strict=True):
        if push.id not in new_ids or push.id in seen_ids:
            continue
        seen_ids.add(push.id)
        image_keys: set[tuple[str | None, ...]] = {(image.digest,), (image.repository, image.tag)}
        if not keys.isdisjoint(image_keys):
            yield list(part.values())
            part, keys = {}, set()
        part[push.id] = push, image
        keys |= image_keys
    if part:
        yield list(part.values())


def _find_known_pushes(
    connection: Connection, images: Sequence[PushedImage]
) -> dict[tuple[str, str | None, str], _KnownPush]:
    """The pushes on record of these images, and perhaps of others: by repository, tag and digest."""
    parameters = {
        "digests": make_text_list([image.digest for image in images]),
        "tags": make_text_list([image.tag or "" for image in images]),
    }
    known_pushes = [_KnownPush(Scan(*row[:-6]), *row[-6:]) for row in connection.execute(_KNOWN_PUSHES, parameters)]
    return {(push.repository, push.tag, push.scan.image): push for push in known_pushes}


def _write_repeated(connection: Connection, pushes: Sequence[tuple[_KnownPush, PushedImage]]) -> None:
    """Store the times of pushes that repeat known ones, where they are later."""
    periods = [
        {"id": known_push.period, "pushed_at": image.pushed_at}
        for known_push, image in pushes
        if known_push.period_pushed_at < image.pushed_at
    ]
    update_all(connection, fleet_tags, periods)
    rows = [
        {"repository": image.repository, "tag": image.tag, "digest": image.digest, "pushed_at": image.pushed_at}
        for known_push, image in pushes
        if known_push.pushed_at < image.pushed_at
    ]
    update_all(connection, pushed_images, rows)


def write_push(connection: Connection, image: PushedImage) -> None:
    """Store a push whose tag is locked."""
    has_changed = record_tag(connection, image)
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

    Returns the move, or None. A push that is older than that one moves nothing.
    """
    if image.tag is None:
        return None
    latest_image = connection.execute(_TAGGED_DIGEST, {"repository": image.repository, "tag": image.tag}).first()
    if latest_image is not None and latest_image.digest != image.digest and latest_image.pushed_at <= image.pushed_at:
        move = TagMove(
            event_id, image.repository, image.tag, latest_image.digest, image.digest, image.pushed_at, image.pushed_by
        )
        insert_if_new(connection, tag_moves, asdict(move))
        return move
    return None


def _make_push_events(push: str, image: PushedImage, move: TagMove | None) -> Sequence[NewEvent]:
    push_event = aws_events.make_image_pushed(push, image.repository, image.digest, image.tag, image.pushed_at)
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
