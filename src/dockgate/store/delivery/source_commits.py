"""The commits that executions fetched, as the search finds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection

from dockgate.delivery.model import ExecutionId
from dockgate.shared.wording import shorten_text
from dockgate.store.engine import Database
from dockgate.store.queries import make_prefix_conditions, select_as
from dockgate.store.schema.delivery import source_commits
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


class SourceCommits:
    """The commits that executions fetched, the newest executions first, at most MAX_ROWS."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_by_id(self, start: str) -> Sequence[SourceCommit]:
        """Find the commits whose ids begin with these hexadecimal digits."""
        return self._find(*make_prefix_conditions(source_commits.c.commit, start))

    def find_by_words(self, text: str) -> Sequence[SourceCommit]:
        """Find the commits with all words or parts of words in the first MAX_SEARCHED characters of a message."""
        words = text.casefold().split()
        return self._find(*(source_commits.c.words.contains(word, autoescape=True) for word in words)) if words else ()

    def list_of_commit(self, repository: str, commit: str) -> Sequence[SourceCommit]:
        """List the records of one commit: several executions can have fetched it."""
        return self._find(source_commits.c.commit == commit, source_commits.c.repository == repository)

    def _find(self, *conditions: ColumnElement[bool]) -> Sequence[SourceCommit]:
        query = _COMMIT.where(*conditions).order_by(source_commits.c.seq.desc()).limit(MAX_ROWS)
        with self._database.read() as connection:
            return [SourceCommit(**row) for row in connection.execute(query).mappings()]


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
