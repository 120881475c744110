"""The pushes into the repositories that we host."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update

from dockgate.delivery.contributors import Pusher, PushRecord
from dockgate.store.engine import Database
from dockgate.store.queries import (
    is_among_texts,
    is_one_of_texts,
    make_prefix_conditions,
    make_row,
    select_as,
    split_into_batches,
)
from dockgate.store.schema.delivery import pushed_commits, pushes
from dockgate.store.statements import insert_all_new, insert_if_new

# Rows in one transaction: a large push may not keep others from writing.
ROWS_AT_ONCE = 5000

_PUSH = select_as(PushRecord, pushes)


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
        moves = {record.ref: record for record in records}
        with self._database.write() as connection:
            connection.execute(
                delete(pushes).where(pushes.c.push == push, pushes.c.is_accepted.is_(False), pushes.c.ref.not_in(moves))
            )
            for record in sorted(records, key=lambda record: record.ref):
                if not insert_if_new(connection, pushes, _make_push_row(record)):
                    is_this_reference = pushes.c.push == push, pushes.c.ref == record.ref
                    values = {"old": record.old, "new": record.new, "is_accepted": True}
                    connection.execute(update(pushes).where(*is_this_reference).values(**values))

    def _add_commits(self, record: PushRecord, commits: Sequence[str]) -> None:
        row = {"repository": record.repository, "principal": record.principal, "email": record.email or ""}
        with self._database.write() as connection:
            query = select(pushed_commits.c.commit).where(
                pushed_commits.c.repository == record.repository,
                pushed_commits.c.principal == record.principal,
                is_among_texts(pushed_commits.c.commit, commits),
            )
            stored_commits = set(connection.scalars(query))
            rows = [{**row, "commit": commit} for commit in dict.fromkeys(commits) if commit not in stored_commits]
            insert_all_new(connection, pushed_commits, rows)

    def list_for_ref(self, repository: str, ref: str) -> Sequence[PushRecord]:
        """The updates of a reference, oldest first."""
        return self._select(pushes.c.repository == repository, pushes.c.ref == ref)

    def list_unfinished(self, repository: str) -> Sequence[PushRecord]:
        """The requested updates of which neither success nor refusal is recorded.

        The server crashed in between.
        """
        return self._select(pushes.c.repository == repository, pushes.c.is_accepted.is_(False))

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

    def _select(self, *conditions: ColumnElement[bool]) -> Sequence[PushRecord]:
        query = _PUSH.where(*conditions).order_by(pushes.c.seq)
        with self._database.read() as connection:
            return [
                PushRecord(**{**row, "email": row["email"] or None, "token": row["token"] or None})
                for row in connection.execute(query).mappings()
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
        query = select(pushed_commits).where(
            pushed_commits.c.repository == repository, is_among_texts(pushed_commits.c.commit, commits)
        )
        with self._database.read() as connection:
            for row in connection.execute(query.order_by(pushed_commits.c.principal)):
                pushers.setdefault(row.commit, []).append(Pusher(row.principal, row.email or None))
        return pushers


def _make_push_row(record: PushRecord) -> dict[str, Any]:
    return {**make_row(record), "email": record.email or "", "token": record.token or ""}
