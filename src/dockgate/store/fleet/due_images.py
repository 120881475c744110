"""Images that are due to be judged again, because something changed that belongs to them alone."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from dockgate.store.engine import Database
from dockgate.store.queries import is_one_of, split_into_batches
from dockgate.store.schema.fleet import fleet_due_images, fleet_due_repositories, fleet_images, fleet_verdicts

_CHANGES = select(fleet_due_images.c.seq, fleet_due_images.c.image).order_by(fleet_due_images.c.seq)
_INSERT_CHANGE, _INSERT_REPOSITORY_CHANGE = insert(fleet_due_images), insert(fleet_due_repositories)
_DELETE_CHANGES = delete(fleet_due_images).where(is_one_of(fleet_due_images.c.seq, "changes"))
_DELETE_UNJUDGED_CHANGES = _DELETE_CHANGES.where(
    fleet_due_images.c.image.not_in(
        select(fleet_images.c.digest).join(fleet_verdicts, fleet_verdicts.c.image == fleet_images.c.id)
    )
)
_REPOSITORY_CHANGES = select(fleet_due_repositories.c.seq, fleet_due_repositories.c.repository)
_FIRST_REPOSITORY_CHANGE = _REPOSITORY_CHANGES.limit(1)


class DueChanges(NamedTuple):
    """What a renewal does with changes of single images.

    `judged_changes` are the numbers of those that its verdicts take into account. The images (digests) of
    `postponed_images` could not be judged: they stay due.
    """

    judged_changes: frozenset[int] = frozenset()
    postponed_images: frozenset[str] = frozenset()


NO_CHANGES = DueChanges()


class DueImages:
    """The changes of single images that no renewal has taken into account yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Mapping[str, Sequence[int]]:
        """The numbers of the changes, by the image's digest.

        Images that are added from now on are judged after what changed in their repositories.
        """
        self._mark_images_of_repositories()
        changes: dict[str, list[int]] = {}
        with self._database.read() as connection:
            for number, image in connection.execute(_CHANGES):
                changes.setdefault(image, []).append(number)
        return changes

    def _mark_images_of_repositories(self) -> None:
        """Replace the changes of repositories by changes of their images."""
        table = fleet_due_repositories.c
        with self._database.read() as connection:
            has_any = connection.execute(_FIRST_REPOSITORY_CHANGE).first() is not None
        if not has_any:
            return
        with self._database.write() as connection:
            rows = connection.execute(_REPOSITORY_CHANGES).all()
            for part in split_into_batches(sorted({repository for _, repository in rows})):
                images = select(fleet_images.c.digest).where(fleet_images.c.repository.in_(part))
                connection.execute(insert(fleet_due_images).from_select(["image"], images.order_by(fleet_images.c.id)))
            for part in split_into_batches([number for number, _ in rows]):
                connection.execute(delete(fleet_due_repositories).where(table.seq.in_(part)))

    def remove_unjudged(self, changes: Collection[int]) -> None:
        """Forget those of the changes whose image has no verdict: its first one takes them into account."""
        with self._database.write() as connection:
            for part in split_into_batches(sorted(changes)):
                connection.execute(_DELETE_UNJUDGED_CHANGES, {"changes": part})


def mark_due(connection: Connection, image: str) -> None:
    """Let the verdicts on an image be renewed, in the transaction that changes what belongs to it."""
    connection.execute(_INSERT_CHANGE, {"image": image})


def mark_repository_due(connection: Connection, repository: str) -> None:
    """Let the verdicts on a repository's images be renewed, in the transaction of what changes them."""
    connection.execute(_INSERT_REPOSITORY_CHANGE, {"repository": repository})


def replace_changes(connection: Connection, changes: DueChanges) -> None:
    """Forget the judged changes and let postponed images be due, in the transaction of the verdicts."""
    for part in split_into_batches(sorted(changes.judged_changes)):
        connection.execute(_DELETE_CHANGES, {"changes": part})
    for image in sorted(changes.postponed_images):
        mark_due(connection, image)
