"""Pushes that registries have reported but not confirmed yet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Integer, Select, bindparam, case, delete, func, select, update

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
    when it happened, None for an unknown time. `attempts` counts the questions about this push, `reason` says why
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


def _select_due() -> Select[Any]:
    """The rows of `ReportedPushes.list_due`."""
    order = _TABLE.attempts, _TABLE.received_at, _TABLE.id
    repository_turn = func.row_number().over(partition_by=(_TABLE.registry, _TABLE.repository), order_by=order)
    due_pushes = (
        select_as(ReportedPush, reported_pushes)
        .add_columns(repository_turn.label("repository_turn"))
        .where((_TABLE.next_at <= bindparam("now")) | (_TABLE.next_at > bindparam("latest_time")))
        .subquery()
    )
    due = due_pushes.c
    turn = func.row_number().over(
        partition_by=due.registry, order_by=(due.repository_turn, due.attempts, due.received_at, due.id)
    )
    return (
        select(*(column for column in due if column.name != "repository_turn"))
        .order_by(turn, due.received_at, due.id)
        .limit(bindparam("limit", type_=Integer))
    )


_DUE_PUSHES = _select_due()


class ReportedPushes:
    """The reported pushes that are not confirmed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, push: ReportedPush) -> None:
        """Store a push. UnavailableError if the registry has too many already.

        Repeated, it changes nothing but when it was received last.
        """
        is_of_registry = _TABLE.registry == (push.registry or "")
        with self._database.write() as connection:
            count = connection.scalar(select(func.count()).where(is_of_registry)) or 0
            if count >= MOST_OF_A_REGISTRY:
                raise UnavailableError(
                    f"{count} pushes of {push.registry or 'the server’s registry'} are not confirmed yet",
                    "`dockgate registry pushes` says why.",
                )
            if not insert_if_new(connection, reported_pushes, asdict(push)):
                is_push = _TABLE.id == push.id
                connection.execute(update(reported_pushes).where(is_push).values(received_at=push.received_at))

    def list(self, limit: int | None = None) -> Sequence[ReportedPush]:
        """Return at most `limit`, all if that is None; the oldest first."""
        query = select_as(ReportedPush, reported_pushes).order_by(_TABLE.received_at, _TABLE.id).limit(limit)
        with self._database.read() as connection:
            return [ReportedPush(**row) for row in connection.execute(query).mappings()]

    def list_due(self, now: str, latest_time: str, limit: int) -> Sequence[ReportedPush]:
        """Return at most `limit` about which the registry is to be asked now.

        Registries take turns, and in each its repositories: many pushes of one keep none of another waiting. Of a
        repository, those that were asked about least are first, then the oldest. What is due only after `latest_time`
        was stored by a clock that was ahead: it is due, too.
        """
        parameters = {"now": now, "latest_time": latest_time, "limit": limit}
        with self._database.read() as connection:
            return [ReportedPush(**row) for row in connection.execute(_DUE_PUSHES, parameters).mappings()]

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

    def count_repeated_questions(self, registry: str | None) -> int:
        """Count the repeated questions to a registry, None for our own, about the pushes that are stored."""
        query = select(func.sum(_TABLE.attempts - 1)).where(_TABLE.registry == (registry or ""))
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def postpone(self, push: ReportedPush, next_at: str, reason: str, *, is_for_registry: bool) -> None:
        """Store why a push was not confirmed, and when to ask again.

        That applies to all pushes of its registry, or to those of its repository. Its attempts are counted, so that the
        next question is about another. The reason names its image, so pushes to other repositories have another.
        """
        scope = _TABLE.registry == (push.registry or "")
        if not is_for_registry:
            scope &= _TABLE.repository == push.repository
        attempts = _TABLE.attempts + case((_TABLE.id == push.id, 1), else_=0)
        with self._database.write() as connection:
            change = update(reported_pushes).where(scope)
            is_same_repository = _TABLE.repository == push.repository
            reason_of_each = case((is_same_repository, reason), else_="the registry does not answer")
            connection.execute(change.values(next_at=next_at, reason=reason_of_each, attempts=attempts))

    def remove(self, push: ReportedPush) -> None:
        """Delete a push that is recorded, or that the registry refutes, unless it was received again since."""
        is_push = _TABLE.id == push.id, _TABLE.received_at == push.received_at
        with self._database.write() as connection:
            connection.execute(delete(reported_pushes).where(*is_push))

    def purge(self, before: str) -> None:
        """Delete the pushes that were reported before that time."""
        with self._database.write() as connection:
            connection.execute(delete(reported_pushes).where(_TABLE.received_at < before))
