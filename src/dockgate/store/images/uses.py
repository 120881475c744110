"""The times at which images were pushed, requested to be approved, pulled and run."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import (
    ColumnElement,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)

from dockgate.delivery.model import ApprovalId, ApprovalState
from dockgate.gate.watch import ImageUse
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.queries import is_one_of, make_text_list
from dockgate.store.records import ImageApproval, ImageLocations, PushedImage
from dockgate.store.schema.delivery import approvals
from dockgate.store.schema.fleet import fleet_images, fleet_verdicts
from dockgate.store.schema.images import image_uses, pushed_images, scans
from dockgate.store.statements import insert_if_new

_NULL = null()
_PUSHES = (
    select(
        pushed_images.c.digest.label("image"),
        pushed_images.c.repository,
        func.max(pushed_images.c.pushed_at).label("pushed_at"),
        *(cast(_NULL, Text).label(name) for name in ("approval_at", "pulled_at", "run_at")),
        literal(0).label("waiting"),
    )
    .where(is_one_of(pushed_images.c.digest, "images"))
    .group_by(pushed_images.c.digest, pushed_images.c.repository)
)
_ASKED_AT = case(
    (approvals.c.settled_at > approvals.c.created_at, approvals.c.settled_at), else_=approvals.c.created_at
)
_APPROVALS = (
    select(
        approvals.c.image,
        approvals.c.repository,
        cast(_NULL, Text),
        func.max(_ASKED_AT),
        cast(_NULL, Text),
        cast(_NULL, Text),
        func.count().filter(approvals.c.state == ApprovalState.WAITING),
    )
    .where(is_one_of(approvals.c.image, "images"))
    .group_by(approvals.c.image, approvals.c.repository)
)
_RECORDED_USE = select(
    image_uses.c.image,
    image_uses.c.repository,
    cast(_NULL, Text),
    cast(_NULL, Text),
    image_uses.c.pulled_at,
    image_uses.c.run_at,
    literal(0),
).where(is_one_of(image_uses.c.image, "images"))
_USES = union_all(_PUSHES, _APPROVALS, _RECORDED_USE)
# Each column's type is that of the first query.
_LOCATIONS = union_all(
    select(
        literal("push").label("kind"),
        pushed_images.c.repository,
        pushed_images.c.tag.label("name"),
        type_coerce(pushed_images.c.pushed_at, Text).label("at"),
        type_coerce(pushed_images.c.pushed_by, Text).label("by"),
    ).where(pushed_images.c.digest == bindparam("image")),
    select(
        literal("approval"),
        approvals.c.repository,
        type_coerce(approvals.c.id, Text),
        cast(_NULL, Text),
        type_coerce(approvals.c.pipeline, Text),
    ).where(approvals.c.image == bindparam("image")),
    select(literal("scan"), scans.c.repository, cast(_NULL, Text), cast(_NULL, Text), cast(_NULL, Text)).where(
        scans.c.image == bindparam("image")
    ),
)

_UNJUDGED_IMAGES = (
    select(fleet_images.c.digest)
    .where(
        fleet_images.c.gone_at.is_(None),
        ~select(fleet_verdicts.c.image).where(fleet_verdicts.c.image == fleet_images.c.id).exists(),
    )
    .cte("unjudged")
)
_UNJUDGED_USES = union_all(
    *(
        select(literal(number), func.count(), func.max(used_at)).where(
            used_at >= bindparam("since"), digest.in_(select(_UNJUDGED_IMAGES.c.digest))
        )
        for number, (digest, used_at) in enumerate(
            (
                (image_uses.c.image, image_uses.c.pulled_at),
                (image_uses.c.image, image_uses.c.run_at),
                (pushed_images.c.digest, pushed_images.c.pushed_at),
            )
        )
    )
)
_NEWEST_APPROVAL = select(func.max(approvals.c.seq))


class ImageUses:
    """The last uses of images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_pull(self, repository: str, image: str, now: str) -> None:
        """Store the time of a pull, unless a later one is stored. That of a clock that was ahead is replaced."""
        self._record(repository, image, image_uses.c.pulled_at, now)

    def record_run(self, repository: str, image: str, now: str) -> None:
        """Store that a service runs the image, unless a later time is stored, as `record_pull`."""
        self._record(repository, image, image_uses.c.run_at, now)

    def list_of_image(self, image: str, now: str) -> Sequence[ImageUse]:
        """The uses of an image in each repository where it was pushed, approved, pulled or run, sorted.

        A waiting approval counts as requested now.
        """
        return self.list_of_images([image], now)[image]

    def list_of_images(self, images: Collection[str], now: str) -> Mapping[str, Sequence[ImageUse]]:
        """The uses of several images, as `list_of_image`, by image."""
        values: dict[str, dict[str, dict[str, str | None]]] = {image: {} for image in images}
        parameters = {"images": make_text_list(sorted(images))}
        with self._database.read() as connection:
            for row in connection.execute(_USES, parameters):
                times = {name: getattr(row, name) for name in ("pushed_at", "approval_at", "pulled_at", "run_at")}
                if row.waiting:
                    times["approval_at"] = now
                known_times = {name: time for name, time in times.items() if time is not None}
                values[row.image].setdefault(row.repository, {}).update(known_times)
        return {
            image: [ImageUse(repository, **times) for repository, times in sorted(repositories.items())]
            for image, repositories in values.items()
        }

    def read_locations(self, image: str) -> ImageLocations:
        """The locations of an image: of its pushes, of its newest scan, and of its approvals."""
        with self._database.read() as connection:
            rows = connection.execute(_LOCATIONS, {"image": image}).all()
        pushes = [PushedImage(row.repository, row.name, image, row.at, row.by) for row in rows if row.kind == "push"]
        pushes.sort(key=lambda push: (push.repository, push.tag or ""))
        pushes.sort(key=lambda push: push.pushed_at, reverse=True)
        return ImageLocations(
            pushes,
            [ImageApproval(row.repository, ApprovalId(row.name), row.by) for row in rows if row.kind == "approval"],
            next((row.repository for row in rows if row.kind == "scan"), None),
        )

    def read_revision(self, since: str) -> str:
        """Return a text that changes when an image without a current verdict is first used since a time.

        Every new approval changes it.
        """
        with self._database.read() as connection:
            uses = connection.execute(_UNJUDGED_USES, {"since": since})
            rows = sorted(tuple(row) for row in uses)  # no two have one number
            return f"{rows} {connection.scalar(_NEWEST_APPROVAL)}"

    def _record(self, repository: str, image: str, column: ColumnElement[str], now: str) -> None:
        name = column.key or ""
        key = image_uses.c.image == image, image_uses.c.repository == repository
        is_other = or_(column.is_(None), column < now, column > compute_latest_time(now))
        with self._database.write() as connection:
            if not insert_if_new(connection, image_uses, {"image": image, "repository": repository, name: now}):
                connection.execute(update(image_uses).where(*key, is_other).values({name: now}))
