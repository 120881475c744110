"""A host of repositories for tests: commits are mappings of file names to text."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dockgate.delivery.source_ports import Commit, CommitPeople, Room, allow_any_size
from dockgate.shared.errors import NotFoundError, TooLargeError


class MemoryHost:
    """`fault` is called with "before create", "after create", "before archive" and the like, and may raise."""

    def __init__(self, fault: Callable[[str], None] = lambda moment: None) -> None:
        self._fault = fault
        # Those that `can_open` refuses.
        self.damaged_repositories: set[str] = set()
        self._branches: dict[str, dict[str, str]] = {}
        self._commits: dict[tuple[str, str], tuple[Commit, dict[str, str]]] = {}
        self._parents: dict[tuple[str, str], tuple[str, ...]] = {}
        self._committers: dict[tuple[str, str], str] = {}

    def create(self, repository: str) -> None:
        self._fault("before create")
        self._branches.setdefault(repository, {})
        self._fault("after create")

    def push(
        self,
        repository: str,
        files: Mapping[str, str],
        message: str = "Change",
        branch: str = "main",
        author: str = "Ada <ada@example.org>",
        time: str = "2026-11-24T10:00:00Z",
        committer: str = "",
        merges: Sequence[str] = (),
    ) -> str:
        """What `git push` of one commit does, whose further parents are `merges`.

        Returns the commit's id, which holds its parent, as git's does.
        """
        branches = self._find_repository(repository)
        content = json.dumps([branches.get(branch, ""), author, time, message, sorted(files.items())])
        identity = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self._parents[repository, identity] = tuple(filter(None, (branches.get(branch, ""), *merges)))
        self._committers[repository, identity] = committer or author
        self._commits[repository, identity] = Commit(identity, author, message, time), dict(files)
        branches[branch] = identity
        return identity

    def list_heads(self, repository: str) -> Mapping[str, str]:
        self._fault("before heads")
        return dict(self._find_repository(repository))

    def can_open(self, repository: str) -> bool:
        return repository in self._branches and repository not in self.damaged_repositories

    def list_references(self, repository: str) -> Mapping[str, str]:
        self._fault("before references")
        return {f"refs/heads/{branch}": commit for branch, commit in self._find_repository(repository).items()}

    def get_commit(self, repository: str, revision: str) -> Commit:
        self._fault("before commit")
        return self._find(repository, revision)[0]

    def find_branch(self, repository: str, commit: str) -> str | None:
        self._find(repository, commit)
        branches = sorted(self._find_repository(repository).items())
        return next((name for name, head in branches if commit in self._list_reachable_commits(repository, head)), None)

    def list_commits_between(self, repository: str, base: str | None, head: str, limit: int) -> Sequence[CommitPeople]:
        self._fault("before commits")
        known_commits = self._list_reachable_commits(repository, base) if base else {}
        commits = [commit for commit in self._list_reachable_commits(repository, head) if commit not in known_commits]
        return [self._read_people(repository, commit) for commit in commits[:limit]]

    def list_introduced_commits(
        self, repository: str, after: Sequence[str], before: Sequence[str], limit: int
    ) -> Sequence[str]:
        known_commits = {commit for start in before for commit in self._list_reachable_commits(repository, start)}
        commits = dict.fromkeys(commit for start in after for commit in self._list_reachable_commits(repository, start))
        return [commit for commit in commits if commit not in known_commits][:limit]

    def move(self, repository: str, branch: str, commit: str) -> None:
        """What a forced push of a commit that is there does."""
        self._find_repository(repository)[branch] = self._find(repository, commit)[0].id

    def delete_branch(self, repository: str, branch: str) -> None:
        """What `git push --delete` does."""
        del self._find_repository(repository)[branch]

    def read_files(self, repository: str, revision: str) -> Mapping[str, str]:
        """The files of a commit, by path."""
        return self._find(repository, revision)[1]

    def list_ids(self, repository: str) -> Sequence[str]:
        """The ids of all commits of a repository."""
        self._find_repository(repository)
        return [commit for name, commit in self._commits if name == repository]

    def list_commits(self, repository: str, revision: str) -> Sequence[Commit]:
        """The commit and its ancestors, newest first."""
        return [self._commits[repository, commit][0] for commit in self._list_reachable_commits(repository, revision)]

    def rewind_branch(self, repository: str, branch: str, commit: str | None) -> None:
        """Set a branch back to a commit; None deletes it."""
        if commit:
            self._find_repository(repository)[branch] = commit
        else:
            del self._find_repository(repository)[branch]

    def archive(self, repository: str, commit: str, into: Path, room: Room = allow_any_size) -> None:
        self._fault("before archive")
        _, files = self._find(repository, commit)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, text in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(text.encode()), 0o644
                tar.addfile(member, io.BytesIO(text.encode()))
        if len(buffer.getvalue()) > room():
            raise TooLargeError(f"the archive of {commit} does not fit")
        into.write_bytes(buffer.getvalue())
        self._fault("after archive")

    def _find_repository(self, repository: str) -> dict[str, str]:
        if repository not in self._branches:
            raise NotFoundError(f"no repository {repository!r}", "Create it first.")
        return self._branches[repository]

    def _find(self, repository: str, revision: str) -> tuple[Commit, dict[str, str]]:
        identity = self._find_repository(repository).get(revision, revision)
        if (repository, identity) not in self._commits:
            raise NotFoundError(f"no commit or branch {revision!r} in {repository}", "Push it first.")
        return self._commits[repository, identity]

    def _list_reachable_commits(self, repository: str, commit: str) -> dict[str, None]:
        commits: dict[str, None] = {}
        ahead = [self._find(repository, commit)[0].id]
        while ahead:
            if (commit := ahead.pop(0)) not in commits:
                commits[commit] = None
                ahead += self._parents[repository, commit]
        return commits

    def _read_people(self, repository: str, commit: str) -> CommitPeople:
        people = self._commits[repository, commit][0].author, self._committers[repository, commit]
        return CommitPeople(commit, tuple(dict.fromkeys(person.rpartition("<")[2].rstrip("> ") for person in people)))
