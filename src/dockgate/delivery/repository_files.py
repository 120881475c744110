"""The interface of the files and the history of repositories that Dockgate hosts.

The contract suite in `tests/contracts` checks the docstrings for every implementation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from dockgate.delivery.source_ports import Commit

# Bytes of a file or a difference that `RepositoryFiles` returns.
MAX_FILE = 1 << 20


# The least digits of a commit's id that name it.
MIN_DIGITS = 4
# Characters of a path.
MAX_PATH = 1000


class EntryKind(StrEnum):
    """The kind of a path in a repository: a module is a commit of another repository."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A path in a folder of a commit. `size` is in bytes, None for folders and modules."""

    name: str
    kind: EntryKind
    size: int | None = None


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A change of one file, to be committed to a branch.

    `parent` is the head of the branch (None: a branch that does not exist). `path` is relative, with slashes. `author`
    is "Name <mail>".
    """

    branch: str
    parent: str | None
    path: str
    content: str
    author: str
    message: str


@dataclass(frozen=True, slots=True)
class FilesEdit:
    """New contents of files by path, to be committed on top of `parent`. `author` is "Name <mail>"."""

    parent: str
    files: Mapping[str, str]
    author: str
    message: str


def is_path_supported(path: str) -> bool:
    """Return whether `RepositoryFiles` reads and writes a path.

    Such a path is relative, normalised, printable, outside .git, and has no colon and no backslash.
    """
    is_plain = path.isprintable() and "\\" not in path and ":" not in path and len(path) <= MAX_PATH
    return is_plain and all(part not in ("", ".", "..") and part.lower() != ".git" for part in path.split("/"))


class RepositoryFiles(Protocol):
    """The files and the history of repositories that Dockgate hosts.

    A revision is whatever `find_commit` takes. All raise NotFoundError for an unknown repository, revision or path, and
    UsageError for a path that is not supported (`is_path_supported`).
    """

    def list(self, repository: str, revision: str, folder: str) -> Sequence[TreeEntry]:
        """Return the entries of a folder (the root's path is empty), folders first, then by name."""
        ...

    def read(self, repository: str, revision: str, path: str) -> bytes:
        """Return a file, or the target of a link. Raises TooLargeError for more than `MAX_FILE` bytes."""
        ...

    def find_commit(self, repository: str, name: str) -> str:
        """Return the id of the commit that an id, a branch, a tag, or the first digits of an id name.

        At least MIN_DIGITS digits that no other commit of the repository begins with. A branch comes before a tag, and
        a tag before digits. NotFoundError for another name, and for digits that several commits begin with.
        """
        ...

    def list_commits(self, repository: str, revision: str, limit: int) -> Sequence[Commit]:
        """Return the newest commits that the revision contains, newest first."""
        ...

    def diff_commits(self, repository: str, base: str | None, commit: str) -> str:
        """Return the changes from `base` (None: the first parent) to the commit as a unified diff.

        Raises TooLargeError for more than `MAX_FILE` bytes.
        """
        ...

    def prepare(self, repository: str, edit: FileEdit, at: datetime) -> str:
        """Make a commit that changes one file, on no branch yet. Return its id.

        Raises ChangedError if the branch has another head by now, UsageError for a path, branch, author or message that
        cannot be committed, ConflictError if the path is not a file or has this content already.
        """
        ...

    def prepare_files(self, repository: str, edit: FilesEdit, at: datetime) -> str:
        """Make a commit that changes files, on no branch yet.

        Return its id, the same for the same edit and time. Raises UsageError for a path, author or message that cannot
        be committed, ConflictError if a path is not a file.
        """
        ...

    def move(self, repository: str, branch: str, old: str | None, new: str) -> None:
        """Move a branch to a commit.

        Raises ChangedError if its head is no longer `old` (None: it does not exist).
        """
        ...
