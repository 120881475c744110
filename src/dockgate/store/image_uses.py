"""When images were pushed, requested to be approved, pulled and run."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, bindparam, case, func, or_, select, update

from dockgate.delivery.model import ApprovalState
from dockgate.gate.watch import ImageUse
from dockgate.store.engine import Database
from dockgate.store.schema import approvals, pushed_images
from dockgate.store.schema_watch import image_uses
from dockgate.store.statements import insert_if_new

_PUSHES = (
    select(pushed_images.c.repository, func.max(pushed_images.c.pushed_at).label("pushed_at"))
    .where(pushed_images.c.digest == bindparam("image"))
    .group_by(pushed_images.c.repository)
)
_ASKED_AT = case(
    (approvals.c.settled_at > approvals.c.created_at, approvals.c.settled_at), else_=approvals.c.created_at
)
_APPROVALS = (
    select(
        approvals.c.repository,
        func.max(_ASKED_AT).label("approval_at"),
        func.count().filter(approvals.c.state == ApprovalState.WAITING).label("waiting"),
    )
    .where(approvals.c.image == bindparam("image"))
    .group_by(approvals.c.repository)
)
_USES = select(image_uses).where(image_uses.c.image == bindparam("image"))


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
        values: dict[str, dict[str, str | None]] = {}
        with self._database.read() as connection:
            for row in connection.execute(_PUSHES, {"image": image}):
                values.setdefault(row.repository, {})["pushed_at"] = row.pushed_at
            for row in connection.execute(_APPROVALS, {"image": image}):
                values.setdefault(row.repository, {})["approval_at"] = now if row.waiting else row.approval_at
            for row in connection.execute(_USES, {"image": image}):
                values.setdefault(row.repository, {}).update(pulled_at=row.pulled_at, run_at=row.run_at)
        return [ImageUse(repository, **values[repository]) for repository in sorted(values)]

    def _record(self, repository: str, image: str, column: ColumnElement[str], now: str) -> None:
        name = column.key or ""
        key = image_uses.c.image == image, image_uses.c.repository == repository
        is_older = or_(column.is_(None), column < now)
        with self._database.write() as connection:
            if not insert_if_new(connection, image_uses, {"image": image, "repository": repository, name: now}):
                connection.execute(update(image_uses).where(*key, is_older).values({name: now}))
