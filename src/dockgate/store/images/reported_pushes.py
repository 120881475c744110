"""Pushes that registries have reported but not confirmed yet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, select, update

from dockgate.shared.errors import UnavailableError
from dockgate.store.engine import Database
from dockgate.store.queries import select_as
from dockgate.store.schema.images import reported_pushes
from dockgate.store.statements import insert_if_new

# So many are stored of a registry at most.
MOST_OF_A_REGISTRY = 10_000

_TABLE = reported_pushes.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedPush:
    """A push as it was reported.

    `id` is that of the notification, or made of its content if it has none (`has_own_id`). `registry` is None for our
    own, and `repository` begins with any other. `digest` is None if the notification has only a tag. `pushed_at` is
    when it happened, None for an unknown time. `attempts` counts how often the registry was asked, `reason` says why
    that did not confirm the push, and `next_at` is when to ask again.
    """

    id: str
    has_own_id: bool
    source: str
    registry: str | None
    repository: str
    tag: str | None
    digest: str | None
    pushed_by: str | None
    pushed_at: str | None
    received_at: str
    next_at: str
    attempts: int = 0
    reason: str | None = None


class ReportedPushes:
    """The reported pushes that are not confirmed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, push: ReportedPush) -> None:
        """Store a push. Repeated, it changes nothing. UnavailableError if the registry has too many already."""
        is_of_registry = _TABLE.registry == (push.registry or "")
        with self._database.write() as connection:
            count = connection.scalar(select(func.count()).where(is_of_registry)) or 0
            if count >= MOST_OF_A_REGISTRY:
                raise UnavailableError(
                    f"{count} pushes of {push.registry or 'the server’s registry'} are not confirmed yet",
                    "`dockgate registry pushes` says why.",
                )
            insert_if_new(connection, reported_pushes, asdict(push))

    def list(self, limit: int) -> Sequence[ReportedPush]:
        """Return at most `limit`, oldest first."""
        query = select_as(ReportedPush, reported_pushes).order_by(_TABLE.received_at, _TABLE.id).limit(limit)
        with self._database.read() as connection:
            return [ReportedPush(**row) for row in connection.execute(query).mappings()]

    def list_due(self, now: str, latest_time: str, limit: int) -> Sequence[ReportedPush]:
        """Return at most `limit` about which the registry is to be asked now, oldest first.

        What is due only after `latest_time` was stored by a clock that was ahead: it is due, too.
        """
        query = (
            select_as(ReportedPush, reported_pushes)
            .where((_TABLE.next_at <= now) | (_TABLE.next_at > latest_time))
            .order_by(_TABLE.received_at, _TABLE.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [ReportedPush(**row) for row in connection.execute(query).mappings()]

    def list_of_image(self, repository: str, tag: str, digest: str, limit: int) -> Sequence[ReportedPush]:
        """Return at most `limit` pushes of this image under this tag, oldest first."""
        query = (
            select_as(ReportedPush, reported_pushes)
            .where(_TABLE.repository == repository, _TABLE.tag == tag, _TABLE.digest == digest)
            .order_by(_TABLE.received_at, _TABLE.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [ReportedPush(**row) for row in connection.execute(query).mappings()]

    def postpone(self, push: ReportedPush, next_at: str, reason: str, *, is_for_registry: bool) -> None:
        """Store why a push was not confirmed, and when to ask again.

        That applies to all pushes of its registry, or to those of its repository.
        """
        scope = _TABLE.registry == (push.registry or "")
        if not is_for_registry:
            scope &= _TABLE.repository == push.repository
        change = update(reported_pushes).where(scope)
        with self._database.write() as connection:
            connection.execute(change.values(next_at=next_at, reason=reason, attempts=_TABLE.attempts + 1))

    def remove(self, push_id: str) -> None:
        """Delete a push that is recorded, or that the registry refutes."""
        with self._database.write() as connection:
            connection.execute(delete(reported_pushes).where(_TABLE.id == push_id))

    def purge(self, before: str) -> None:
        """Delete the pushes that were reported before that time."""
        with self._database.write() as connection:
            connection.execute(delete(reported_pushes).where(_TABLE.received_at < before))
