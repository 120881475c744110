"""When images were pushed, requested to be approved, pulled and run."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, case, func, or_, select, update

from dockgate.delivery.model import ApprovalState
from dockgate.gate.watch import ImageUse
from dockgate.store.engine import Database
from dockgate.store.queries import one_of, text_list
from dockgate.store.schema import approvals, pushed_images
from dockgate.store.schema_watch import image_uses
from dockgate.store.statements import insert_if_new

_PUSHES = (
    select(pushed_images.c.digest, pushed_images.c.repository, func.max(pushed_images.c.pushed_at).label("pushed_at"))
    .where(one_of(pushed_images.c.digest, "images"))
    .group_by(pushed_images.c.digest, pushed_images.c.repository)
)
_ASKED_AT = case(
    (approvals.c.settled_at > approvals.c.created_at, approvals.c.settled_at), else_=approvals.c.created_at
)
_APPROVALS = (
    select(
        approvals.c.image,
        approvals.c.repository,
        func.max(_ASKED_AT).label("approval_at"),
        func.count().filter(approvals.c.state == ApprovalState.WAITING).label("waiting"),
    )
    .where(one_of(approvals.c.image, "images"))
    .group_by(approvals.c.image, approvals.c.repository)
)
_USES = select(image_uses).where(one_of(image_uses.c.image, "images"))


class ImageUses:
    """The last uses of images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_pull(self, repository: str, image: str, now: str) -> None:
        """Store the time of a pull, unless a later one is stored."""
        self._record(repository, image, image_uses.c.pulled_at, now)

    def record_run(self, repository: str, image: str, now: str) -> None:
        """Store that a service runs the image, unless a later time is stored."""
        self._record(repository, image, image_uses.c.run_at, now)

    def of_image(self, image: str, now: str) -> Sequence[ImageUse]:
        """The uses of an image in each repository where it was pushed, approved, pulled or run, sorted.

        A waiting approval counts as requested now.
        """
        return self.of_images([image], now)[image]

    def of_images(self, images: Collection[str], now: str) -> Mapping[str, Sequence[ImageUse]]:
        """The uses of several images, as `of_image`, by image."""
        values: dict[str, dict[str, dict[str, str | None]]] = {image: {} for image in images}
        parameters = {"images": text_list(sorted(images))}
        with self._database.read() as connection:
            for row in connection.execute(_PUSHES, parameters):
                values[row.digest].setdefault(row.repository, {})["pushed_at"] = row.pushed_at
            for row in connection.execute(_APPROVALS, parameters):
                requested_at = now if row.waiting else row.approval_at
                values[row.image].setdefault(row.repository, {})["approval_at"] = requested_at
            for row in connection.execute(_USES, parameters):
                values[row.image].setdefault(row.repository, {}).update(pulled_at=row.pulled_at, run_at=row.run_at)
        return {
            image: [ImageUse(repository, **times) for repository, times in sorted(repositories.items())]
            for image, repositories in values.items()
        }

    def _record(self, repository: str, image: str, column: ColumnElement[str], now: str) -> None:
        name = column.key or ""
        key = image_uses.c.image == image, image_uses.c.repository == repository
        is_older = or_(column.is_(None), column < now)
        with self._database.write() as connection:
            if not insert_if_new(connection, image_uses, {"image": image, "repository": repository, name: now}):
                connection.execute(update(image_uses).where(*key, is_older).values({name: now}))
