"""The commits that executions fetched, as the search finds them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, func, literal, select, union_all

from dockgate.delivery.model import ExecutionId
from dockgate.shared.wording import shorten_text
from dockgate.store.engine import Database
from dockgate.store.queries import is_one_of_texts, make_prefix_conditions, select_as
from dockgate.store.schema.delivery import executions, source_commits
from dockgate.store.statements import insert_if_new

# Characters of a commit's message that are shown, and those that are searched.
MAX_SUBJECT, MAX_SEARCHED = 100, 200
# Executions of an answer: one commit may have many.
MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class SourceCommit:
    """A commit that an execution fetched. `subject` is the first line of its message, shortened."""

    execution: ExecutionId
    repository: str
    commit: str
    subject: str

    @property
    def pipeline(self) -> str:
        """The pipeline of the execution."""
        return self.execution.pipeline


_VARIABLES = {"RepositoryName", "CommitId", "CommitMessage"}
_COMMIT = select_as(SourceCommit, source_commits)
_COLUMNS = [field.name for field in fields(SourceCommit)]


@dataclass(frozen=True, slots=True)
class CommitSearch:
    """What commits are searched by.

    These hexadecimal digits are the beginning of their ids if `is_id`. Otherwise all words or parts of words of `text`
    are in the first MAX_SEARCHED characters of their messages.
    """

    text: str
    is_id: bool

    def make_conditions(self) -> Sequence[ColumnElement[bool]]:
        """The conditions of a query."""
        if self.is_id:
            return make_prefix_conditions(source_commits.c.commit, self.text)
        words = self.text.casefold().split()
        return [source_commits.c.words.contains(word, autoescape=True) for word in words] or [false()]


@dataclass(frozen=True, slots=True)
class FoundCommits:
    """What a search found.

    `commits` are different ones, each by the last execution that fetched it. `executions` fetched one of all that
    match.
    """

    commits: Sequence[SourceCommit]
    executions: Sequence[SourceCommit]


class SourceCommits:
    """The commits that executions fetched, the newest executions first, at most MAX_ROWS.

    `repositories` and `pipelines` are those that the reader may see, None for all: others do not count.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        search: CommitSearch,
        limit: int,
        repositories: Collection[str] | None = None,
        pipelines: Collection[str] | None = None,
    ) -> FoundCommits:
        """Find commits, and the executions that fetched them, at most `limit` of each, in one query."""
        conditions = (*search.make_conditions(), *_make_name_conditions(source_commits.c.repository, repositories))
        last = (
            select(func.max(source_commits.c.seq))
            .where(*conditions)
            .group_by(source_commits.c.repository, source_commits.c.commit)
        )
        queries = (
            _COMMIT.where(source_commits.c.seq.in_(last)),
            _select_of_pipelines(_COMMIT.where(*conditions), pipelines),
        )
        newest_rows = (
            query.add_columns(source_commits.c.seq, literal(part).label("part"))
            .order_by(source_commits.c.seq.desc())
            .limit(limit)
            .subquery()
            for part, query in enumerate(queries)
        )
        rows = union_all(*(select(part) for part in newest_rows)).subquery()
        query = select(rows).order_by(rows.c.part, rows.c.seq.desc())
        parts: tuple[list[SourceCommit], list[SourceCommit]] = [], []
        with self._database.read() as connection:
            for row in connection.execute(query).mappings():
                columns = {name: row[name] for name in _COLUMNS}
                parts[row["part"]].append(SourceCommit(**columns))
        return FoundCommits(*parts)

    def list_of_commit(
        self, repository: str, commit: str, pipelines: Collection[str] | None = None
    ) -> Sequence[SourceCommit]:
        """List the records of one commit: several executions can have fetched it."""
        query = _COMMIT.where(source_commits.c.commit == commit, source_commits.c.repository == repository)
        return self._list(_select_of_pipelines(query, pipelines), MAX_ROWS)

    def _list(self, query: Select[Any], limit: int) -> Sequence[SourceCommit]:
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(source_commits.c.seq.desc()).limit(limit)).mappings()
            return [SourceCommit(**row) for row in rows]


def _make_name_conditions(column: ColumnElement[str], names: Collection[str] | None) -> tuple[ColumnElement[bool], ...]:
    return () if names is None else (is_one_of_texts(column, names),)


def _select_of_pipelines(query: Select[Any], pipelines: Collection[str] | None) -> Select[Any]:
    if pipelines is None:
        return query
    return query.join(executions, executions.c.id == source_commits.c.execution).where(
        is_one_of_texts(executions.c.pipeline, pipelines)
    )


def record_source_commit(connection: Connection, execution: ExecutionId, variables: Mapping[str, str]) -> None:
    """Record the commit that an action exports by its variables; only source actions do."""
    if not variables.keys() >= _VARIABLES:
        return
    message = variables["CommitMessage"]
    row = {
        "execution": execution,
        "repository": variables["RepositoryName"],
        "commit": variables["CommitId"],
        "subject": shorten_text(message.partition("\n")[0], MAX_SUBJECT),
        "words": " ".join(message[:MAX_SEARCHED].casefold().split()),
    }
    insert_if_new(connection, source_commits, row)
