"""The interfaces of where commits come from.

The contract suite checks them as it does those of `ports`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: `id` 40 hex digits, `message` whole, `time` RFC 3339."""

    id: str
    author: str
    message: str
    time: str


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A change of one reference ("refs/heads/main") by a push.

    `old` and `new` are object ids, 40 zeros where the reference did not or does not exist.
    """

    ref: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class CommitPeople:
    """A commit and the e-mail addresses that it names: author, committer, co-authors.

    Git verifies none of them.
    """

    id: str
    emails: tuple[str, ...]


# Bytes that may be written (`store.blobs.Blobs.count_free_bytes`).
Room = Callable[[], int]


def allow_any_size() -> int:
    """Allow any size: a `Room` without a limit."""
    return 1 << 60


class Source(Protocol):
    """A source of commits."""

    def list_heads(self, repository: str) -> Mapping[str, str]:
        """Return branch name -> commit id. Raises NotFoundError for an unknown repository."""
        ...

    def can_open(self, repository: str) -> bool:
        """Return whether the repository is there and looks whole. Starts no process."""
        ...

    def get_commit(self, repository: str, revision: str) -> Commit:
        """Return the commit that `revision`, a commit id or a branch name, names.

        Raises NotFoundError for an unknown repository or revision.
        """
        ...

    def find_branch(self, repository: str, commit: str) -> str | None:
        """Return the first branch by name that contains the commit; None if no branch does.

        Raises NotFoundError for an unknown repository or commit.
        """
        ...

    def list_commits_between(self, repository: str, base: str | None, head: str, limit: int) -> Sequence[CommitPeople]:
        """Return at most `limit` commits reachable from `head` and not from `base` (None: all from `head`).

        Every parent of a merge is followed. Both are commit ids. Raises NotFoundError if one of them does not exist.
        """
        ...

    def archive(self, repository: str, commit: str, into: Path, room: Room = allow_any_size) -> None:
        """Write the commit's tree as a tar file to `into`, atomically; the same commit gives the same bytes.

        `room` is called before and during the writing. At most as many bytes are written as its first call returned;
        if it raises, the writing ends.
        """
        ...


class RepositoryHost(Source, Protocol):
    """A source that Dockgate hosts itself."""

    def list_introduced_commits(
        self, repository: str, after: Sequence[str], before: Sequence[str], limit: int
    ) -> Sequence[str]:
        """Return at most `limit` commits that are in `after` and not in `before`, newest first.

        In: reachable from one of them.
        """
        ...

    def create(self, repository: str) -> None:
        """Create an empty repository. Does nothing if it exists."""
        ...

    def list_references(self, repository: str) -> Mapping[str, str]:
        """Return full reference name ("refs/tags/v1") -> object id.

        Raises NotFoundError for an unknown repository.
        """
        ...
