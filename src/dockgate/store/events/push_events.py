"""Events, and the branch heads that push events are made from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, select, update

from dockgate.events.model import PushEvent, PushKind
from dockgate.shared.errors import NotFoundError
from dockgate.store.engine import Database
from dockgate.store.queries import is_one_of, make_text_list, select_as, split_into_batches
from dockgate.store.schema.events import events
from dockgate.store.schema.events import heads as heads_table
from dockgate.store.statements import insert_if_new, lock_name

_EVENT = select_as(PushEvent, events)
_EVENTS_OF_IDS = _EVENT.where(is_one_of(events.c.id, "ids"))
_UNHANDLED_EVENTS = _EVENT.where(events.c.handled_at.is_(None)).order_by(events.c.seq)
_HEADS = select(heads_table.c.branch, heads_table.c.head, heads_table.c.moves).where(
    heads_table.c.repository == bindparam("repository")
)


class PushEvents:
    """Stored events, and the branch heads that push events are made from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_heads(
        self,
        repository: str,
        heads: Mapping[str, str],
        now: str,
        by: str | None = None,
        branches: Collection[str] | None = None,
    ) -> Sequence[PushEvent]:
        """Record a repository's branches, and add an event for each that moved.

        `by` is who pushed, None if unknown. With `branches`, only these are compared: others are left as they are
        recorded. The id of a push event is `push/<repository>/<branch>/<n>-<first 12 of the commit>`, where n counts
        the branch's moves from 1: a branch that returns to an earlier commit has moved once more. A deleted branch
        keeps its count and has no event; its return is a move.
        """
        with self._database.read() as connection:
            if not _find_moves(_list_heads(connection, repository), heads, branches):
                return ()
        with self._database.write() as connection:
            lock_name(connection, heads_table, repository)
            recorded_heads = _list_heads(connection, repository)
            return _record_moves(
                connection, repository, recorded_heads, _find_moves(recorded_heads, heads, branches), now, by
            )

    def list_branches(self, repositories: Collection[str]) -> dict[str, dict[str, str]]:
        """The recorded branches of these repositories: repository -> branch -> commit, sorted by their bytes."""
        heads: dict[str, dict[str, str]] = {}
        with self._database.read() as connection:
            for batch in split_into_batches(sorted(repositories)):
                query = select(heads_table.c.repository, heads_table.c.branch, heads_table.c.head).where(
                    heads_table.c.repository.in_(batch), heads_table.c.head != ""
                )
                for row in sorted(connection.execute(query), key=lambda row: row.branch.encode()):
                    heads.setdefault(row.repository, {})[row.branch] = row.head
        return heads

    def list_for_heads(self, repository: str, heads: Mapping[str, str]) -> Sequence[PushEvent]:
        """The push events of these branches (branch -> commit) that are at these commits now and have events."""
        with self._database.read() as connection:
            recorded_heads = _list_heads(connection, repository)
            ids = [
                _make_push_id(repository, branch, commit, recorded_heads[branch][1])
                for branch, commit in heads.items()
                if recorded_heads.get(branch, ("", 0))[0] == commit
            ]
            rows = connection.execute(_EVENTS_OF_IDS, {"ids": make_text_list(ids)}).mappings()
            stored_events = {row["id"]: PushEvent(**row) for row in rows}
        return [stored_events[event_id] for event_id in ids if event_id in stored_events]

    def get(self, event_id: str) -> PushEvent:
        """The event with this id. Raises NotFoundError, also for one that was deleted since."""
        with self._database.read() as connection:
            row = connection.execute(_EVENT.where(events.c.id == event_id)).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no event {event_id!r}", "Handled events are deleted after a while.")
        return PushEvent(**row)

    def list_unhandled(self) -> Sequence[PushEvent]:
        """The events that are not handled yet, oldest first."""
        with self._database.read() as connection:
            return [PushEvent(**row) for row in connection.execute(_UNHANDLED_EVENTS).mappings()]

    def mark_handled(self, event_id: str, now: str) -> None:
        """Mark an event as handled. The first time stays. Does nothing for an event that was deleted."""
        change = update(events).where(events.c.id == event_id, events.c.handled_at.is_(None)).values(handled_at=now)
        with self._database.write() as connection:
            connection.execute(change)


def _list_heads(connection: Connection, repository: str) -> dict[str, tuple[str | None, int]]:
    """The recorded branches: branch -> (commit, number of moves); no commit for a deleted branch."""
    return {row.branch: (row.head, row.moves) for row in connection.execute(_HEADS, {"repository": repository})}


def _find_moves(
    recorded_heads: Mapping[str, tuple[str | None, int]],
    present_heads: Mapping[str, str],
    branches: Collection[str] | None,
) -> dict[str, str | None]:
    """The branches that moved, of these or of all (None): branch -> new commit, None if deleted. Sorted."""
    return {
        branch: present_heads.get(branch)
        for branch in sorted({*recorded_heads, *present_heads} if branches is None else branches)
        if present_heads.get(branch) != recorded_heads.get(branch, (None, 0))[0]
    }


def _record_moves(
    connection: Connection,
    repository: str,
    recorded_heads: Mapping[str, tuple[str | None, int]],
    moved_heads: Mapping[str, str | None],
    now: str,
    by: str | None,
) -> Sequence[PushEvent]:
    pushes = []
    for branch, head in moved_heads.items():
        move_count = recorded_heads.get(branch, (None, 0))[1] + (1 if head else 0)
        _store_head(connection, repository, branch, head, move_count)
        if head:
            event = _make_push_event(repository, branch, head, move_count, now, by)
            insert_if_new(connection, events, asdict(event))
            pushes.append(event)
    return pushes


def _store_head(connection: Connection, repository: str, branch: str, head: str | None, move_count: int) -> None:
    row = {"repository": repository, "branch": branch, "head": head, "moves": move_count}
    if not insert_if_new(connection, heads_table, row):
        connection.execute(
            update(heads_table)
            .where(heads_table.c.repository == repository, heads_table.c.branch == branch)
            .values(head=head, moves=move_count)
        )


def _make_push_event(repository: str, branch: str, commit: str, move_count: int, now: str, by: str | None) -> PushEvent:
    detail = {"repository": repository, "branch": branch, "commit": commit}
    return PushEvent(
        id=_make_push_id(repository, branch, commit, move_count),
        kind=PushKind.REPOSITORY_PUSH,
        detail={**detail, "by": by} if by else detail,
        at=now,
    )


def _make_push_id(repository: str, branch: str, commit: str, move_count: int) -> str:
    return f"push/{repository}/{branch}/{move_count}-{commit[:12]}"
