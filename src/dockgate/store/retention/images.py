"""The needs of images: why an image is still kept."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, delete, exists, func, select

from dockgate.delivery.model import ApprovalState
from dockgate.delivery.retention import Need, Reason, select_kept_revisions
from dockgate.gate.model import Status
from dockgate.gate.watch import ImageUse
from dockgate.shared.references import find_digest
from dockgate.store.delivery.executions import OPEN
from dockgate.store.engine import Database
from dockgate.store.queries import split_into_batches
from dockgate.store.records import ATTACHMENTS, ImageLocation, ScanState
from dockgate.store.schema.delivery import (
    action_runs,
    approvals,
    executions,
    followed_images,
    services,
    task_definitions,
)
from dockgate.store.schema.events import outbox
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import image_uses, pushed_images, reported_pushes, scans
from dockgate.store.verdict_causes import is_push

# Approved images that are kept of each repository and policy: an image is compared with the last one but itself.
_LAST_APPROVED = 2


@dataclass(frozen=True, slots=True)
class UsedImage:
    """An image in a repository with its last uses, its latest push, and the tags that it was pushed under."""

    digest: str
    use: ImageUse
    pushed_at: str
    tags: tuple[str, ...] = ()

    @property
    def used_at(self) -> str:
        """The last use of any kind, of which the latest push is one."""
        use = self.use
        return max(filter(None, (self.pushed_at, use.approval_at, use.pulled_at, use.run_at)))


class ImageRetention:
    """Facts about images. `digests` limits a question to these images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_pushed_images(self, now: str, digests: Collection[str] | None = None) -> Sequence[UsedImage]:
        """Every image of every repository that it was pushed to. A waiting approval counts as requested now."""
        tags: dict[ImageLocation, list[str]] = {}
        latest_pushes: dict[ImageLocation, str] = {}
        with self._database.read() as connection:
            pushes = select(*pushed_images.c["repository", "digest", "tag", "pushed_at"])
            for repository, digest, tag, pushed_at in _iterate_rows(
                connection, pushes, pushed_images.c.digest, digests
            ):
                location = ImageLocation(repository, digest)
                tags.setdefault(location, []).extend([tag] if tag else [])
                latest_pushes[location] = max(pushed_at, latest_pushes.get(location, pushed_at))
            uses = dict(self._iterate_uses(connection, now, digests))
        return [
            UsedImage(
                location.image,
                replace(uses.get(location, ImageUse(location.repository)), pushed_at=pushed_at),
                pushed_at,
                tuple(tags[location]),
            )
            for location, pushed_at in latest_pushes.items()
        ]

    @staticmethod
    def _iterate_uses(
        connection: Connection, now: str, digests: Collection[str] | None
    ) -> Iterator[tuple[ImageLocation, ImageUse]]:
        values: defaultdict[ImageLocation, dict[str, str | None]] = defaultdict(dict)
        asked_at = case(
            (approvals.c.state == ApprovalState.WAITING, now),
            (approvals.c.settled_at > approvals.c.created_at, approvals.c.settled_at),
            else_=approvals.c.created_at,
        )
        requests = select(approvals.c.repository, approvals.c.image, func.max(asked_at))
        requests = requests.group_by(approvals.c.repository, approvals.c.image)
        for repository, image, at in _iterate_rows(connection, requests, approvals.c.image, digests):
            values[ImageLocation(repository, image)]["approval_at"] = at
        uses = select(*image_uses.c["repository", "image", "pulled_at", "run_at"])
        for repository, image, pulled_at, run_at in _iterate_rows(connection, uses, image_uses.c.image, digests):
            values[ImageLocation(repository, image)].update(pulled_at=pulled_at, run_at=run_at)
        for location, columns in values.items():
            yield location, ImageUse(location.repository, **columns)

    def list_needs(self, revisions: int, digests: Collection[str] | None = None) -> Mapping[str, Sequence[Need]]:
        """Return what needs images, by digest; of each service, its present and so many older revisions."""
        needs: defaultdict[str, list[Need]] = defaultdict(list)
        with self._database.read() as connection:
            for digest, need in (
                *_iterate_needs_of_services(connection, revisions),
                *_iterate_needs_of_approvals(connection, digests),
                *_iterate_needs_of_executions(connection),
                *_iterate_needs_of_images(connection, digests),
            ):
                if digests is None or digest in digests:
                    needs[digest].append(need)
        return needs

    def forget_uses(self, repository: str, digest: str) -> None:
        """Delete when an image was used that is no longer in its repository."""
        is_there = exists().where(pushed_images.c.digest == digest, pushed_images.c.repository == repository)
        is_of_image = image_uses.c.image == digest, image_uses.c.repository == repository
        with self._database.write() as connection:
            connection.execute(delete(image_uses).where(*is_of_image, ~is_there))


def _iterate_rows(
    connection: Connection, query: Select[Any], column: ColumnElement[str], digests: Collection[str] | None
) -> Iterator[Any]:
    """The rows of a query, of these digests if given."""
    if digests is None:
        yield from connection.execute(query).all()
        return
    for part in split_into_batches(sorted(digests)):
        yield from connection.execute(query.where(column.in_(part))).all()


def _iterate_needs_of_services(connection: Connection, keep: int) -> Iterator[tuple[str, Need]]:
    definitions: defaultdict[str, dict[int, str | None]] = defaultdict(dict)
    for family, revision, body in connection.execute(select(*task_definitions.c["family", "revision", "body"])):
        definitions[family][revision] = body.image.digest if body.image else None
    for name, present_revision, count in connection.execute(select(*services.c["name", "revision", "desired_count"])):
        for revision in sorted(select_kept_revisions(definitions[name], present_revision, keep), reverse=True):
            is_running = revision == present_revision and count
            need = Need(Reason.RUNS if is_running else Reason.ROLLBACK, f"service {name}, revision {revision}")
            if digest := definitions[name].get(revision):
                yield digest, need


def _iterate_needs_of_approvals(connection: Connection, digests: Collection[str] | None) -> Iterator[tuple[str, Need]]:
    waiting = select(approvals.c.image, approvals.c.id).where(approvals.c.state == ApprovalState.WAITING)
    for image, name in _iterate_rows(connection, waiting, approvals.c.image, digests):
        yield image, Need(Reason.APPROVAL, f"approval {name}")
    under_way = (
        select(approvals.c.image, executions.c.id)
        .join(action_runs, action_runs.c.key == approvals.c.id)
        .join(executions, executions.c.id == action_runs.c.execution)
        .where(executions.c.state.in_(OPEN))
    )
    for image, execution in _iterate_rows(connection, under_way, approvals.c.image, digests):
        yield image, Need(Reason.EXECUTION, f"execution {execution}")


def _iterate_needs_of_executions(connection: Connection) -> Iterator[tuple[str, Need]]:
    """Return what executions under way have built, or were started for."""
    runs = select(executions.c.id, action_runs.c.variables).join(
        action_runs, action_runs.c.execution == executions.c.id
    )
    for query in (runs, select(executions.c.id, executions.c.trigger)):
        for execution, values in connection.execute(query.where(executions.c.state.in_(OPEN))):
            for value in values.values():
                if digest := find_digest(value):
                    yield digest, Need(Reason.EXECUTION, f"execution {execution}")


def _iterate_needs_of_images(connection: Connection, digests: Collection[str] | None) -> Iterator[tuple[str, Need]]:
    requested_images = select(scans.c.image).where(scans.c.state == ScanState.REQUESTED)
    for (image,) in _iterate_rows(connection, requested_images, scans.c.image, digests):
        yield image, Need(Reason.SCAN, "its scan is requested")
    reported_digests = select(reported_pushes.c.digest).where(reported_pushes.c.digest.is_not(None))
    for (image,) in _iterate_rows(connection, reported_digests, reported_pushes.c.digest, digests):
        yield image, Need(Reason.RECENT, "its push is not confirmed yet")
    is_due = outbox.c.next_at.is_not(None), outbox.c.kind.in_(ATTACHMENTS)
    for image, kind in _iterate_rows(
        connection, select(outbox.c.image, outbox.c.kind).where(*is_due), outbox.c.image, digests
    ):
        if image is not None:
            yield image, Need(Reason.ATTACHMENT, f"its {kind} is not attached yet")
    followed_digests = select(followed_images.c.image).where(followed_images.c.unwatched_at.is_(None))
    for (image,) in _iterate_rows(connection, followed_digests, followed_images.c.image, digests):
        yield image, Need(Reason.WATCHED, "its approval is followed")
    approving = (
        select(pushed_images.c.repository, verdicts.c.policy, verdicts.c.image)
        .join(pushed_images, pushed_images.c.digest == verdicts.c.image)
        .where(verdicts.c.status == Status.APPROVED, ~is_push(verdicts.c.cause))
        .group_by(pushed_images.c.repository, verdicts.c.policy, verdicts.c.image)
        .order_by(func.max(verdicts.c.seq).desc())
    )
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for repository, policy, image in connection.execute(approving):
        counts[repository, policy] += 1
        if counts[repository, policy] <= _LAST_APPROVED:
            yield image, Need(Reason.BASELINE, f"one of the last approved images of {repository}")
