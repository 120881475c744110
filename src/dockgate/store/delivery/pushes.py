"""The pushes into the repositories that we host."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, delete, select, update

from dockgate.delivery.contributors import Pusher, PushRecord
from dockgate.store.engine import Database
from dockgate.store.queries import (
    is_among,
    is_one_of,
    is_one_of_texts,
    make_prefix_conditions,
    make_row,
    make_text_list,
    select_as,
    split_into_batches,
)
from dockgate.store.schema.delivery import pushed_commits, pushes
from dockgate.store.statements import insert_all_new, insert_if_new

# Rows in one transaction: a large push may not keep others from writing.
ROWS_AT_ONCE = 5000

_PUSHES = select_as(PushRecord, pushes).where(pushes.c.repository == bindparam("repository")).order_by(pushes.c.seq)
_PUSHES_FOR_REF = _PUSHES.where(pushes.c.ref == bindparam("ref"))
_UNFINISHED_PUSHES = _PUSHES.where(pushes.c.is_accepted.is_(False))
_DELETE_REFUSED = delete(pushes).where(
    pushes.c.push == bindparam("push"), pushes.c.is_accepted.is_(False), ~is_one_of(pushes.c.ref, "moved_refs")
)
_UPDATE_PUSH = update(pushes).where(pushes.c.push == bindparam("of_push"), pushes.c.ref == bindparam("of_ref"))
_PUSHED_COMMITS = (
    select(pushed_commits)
    .where(pushed_commits.c.repository == bindparam("repository"), is_among(pushed_commits.c.commit, "commits"))
    .order_by(pushed_commits.c.principal)
)
_COMMITS_OF_PUSHER = select(pushed_commits.c.commit).where(
    pushed_commits.c.repository == bindparam("repository"),
    pushed_commits.c.principal == bindparam("principal"),
    is_among(pushed_commits.c.commit, "commits"),
)


class Pushes:
    """The pushes into our repositories. Rows are never deleted: later approvals need them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_requested(self, records: Sequence[PushRecord]) -> None:
        """Store the reference updates that a push requests, before git runs. Updates of the same push stay."""
        with self._database.write() as connection:
            for record in sorted(records, key=lambda record: record.ref):
                insert_if_new(connection, pushes, _make_push_row(record))

    def complete(self, push: str, records: Sequence[PushRecord], commits: Sequence[str]) -> None:
        """Store which references a push moved, and the commits that it brought.

        The other updates that it requested were refused by git, and are deleted.
        """
        for start in range(0, len(commits), ROWS_AT_ONCE):
            self._add_commits(records[0], commits[start : start + ROWS_AT_ONCE])
        moved_refs = make_text_list(sorted({record.ref for record in records}))
        with self._database.write() as connection:
            connection.execute(_DELETE_REFUSED, {"push": push, "moved_refs": moved_refs})
            for record in sorted(records, key=lambda record: record.ref):
                if not insert_if_new(connection, pushes, _make_push_row(record)):
                    values = {"old": record.old, "new": record.new, "is_accepted": True}
                    connection.execute(_UPDATE_PUSH, {"of_push": push, "of_ref": record.ref, **values})

    def _add_commits(self, record: PushRecord, commits: Sequence[str]) -> None:
        row = {"repository": record.repository, "principal": record.principal, "email": record.email or ""}
        with self._database.write() as connection:
            values = {
                "repository": record.repository,
                "principal": record.principal,
                "commits": make_text_list(sorted(commits)),
            }
            stored_commits = set(connection.scalars(_COMMITS_OF_PUSHER, values))
            rows = [{**row, "commit": commit} for commit in dict.fromkeys(commits) if commit not in stored_commits]
            insert_all_new(connection, pushed_commits, rows)

    def list_for_ref(self, repository: str, ref: str) -> Sequence[PushRecord]:
        """The updates of a reference, oldest first."""
        return self._select(_PUSHES_FOR_REF, {"repository": repository, "ref": ref})

    def list_unfinished(self, repository: str) -> Sequence[PushRecord]:
        """The requested updates of which neither success nor refusal is recorded.

        The server crashed in between.
        """
        return self._select(_UNFINISHED_PUSHES, {"repository": repository})

    def find_unfinished(self, repositories: Collection[str]) -> set[str]:
        """The repositories, of these, with a push of which neither success nor refusal is recorded."""
        with self._database.read() as connection:
            return {
                repository
                for batch in split_into_batches(sorted(repositories))
                for repository in connection.scalars(
                    select(pushes.c.repository)
                    .where(pushes.c.repository.in_(batch), pushes.c.is_accepted.is_(False))
                    .distinct()
                )
            }

    def _select(self, query: Select[Any], parameters: Mapping[str, str]) -> Sequence[PushRecord]:
        with self._database.read() as connection:
            return [
                PushRecord(**{**row, "email": row["email"] or None, "token": row["token"] or None})
                for row in connection.execute(query, parameters).mappings()
            ]

    def find_commits(
        self, start: str, limit: int, repositories: Collection[str] | None = None
    ) -> Sequence[tuple[str, str]]:
        """The repositories and ids of pushed commits whose ids begin with these hexadecimal digits, sorted.

        `repositories` are those that the reader may see, None for all.
        """
        columns = pushed_commits.c.repository, pushed_commits.c.commit
        query = select(*columns).where(*make_prefix_conditions(pushed_commits.c.commit, start))
        if repositories is not None:
            query = query.where(is_one_of_texts(pushed_commits.c.repository, repositories))
        with self._database.read() as connection:
            rows = connection.execute(query.distinct().order_by(*columns).limit(limit))
            return [(repository, commit) for repository, commit in rows]

    def list_pushers(self, repository: str, commits: Sequence[str]) -> Mapping[str, Sequence[Pusher]]:
        """Return who brought each of these commits. A commit without a known pusher has no entry."""
        pushers: dict[str, list[Pusher]] = {}
        values = {"repository": repository, "commits": make_text_list(sorted(commits))}
        with self._database.read() as connection:
            for row in connection.execute(_PUSHED_COMMITS, values):
                pushers.setdefault(row.commit, []).append(Pusher(row.principal, row.email or None))
        return pushers


def _make_push_row(record: PushRecord) -> dict[str, Any]:
    return {**make_row(record), "email": record.email or "", "token": record.token or ""}
