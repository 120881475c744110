"""Files of a `MemoryHost`, for tests."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import unified_diff

from tests.fakes.repository_host import MemoryHost

from dockgate.delivery.repository_files import MAX_FILE, MIN_DIGITS, EntryKind, FileEdit, FilesEdit, TreeEntry
from dockgate.delivery.source_ports import Commit
from dockgate.delivery.sources.git_files import (
    check_authorship,
    check_content,
    check_edit,
    check_path,
    make_file_above_error,
    make_unchanged_error,
    make_unknown_commit_error,
)
from dockgate.shared.errors import ChangedError, ConflictError, NotFoundError, TooLargeError

# A branch that exists only while a commit is made.
_SCRATCH = "scratch/commit"


class MemoryFiles:
    """A `RepositoryFiles` without links, modules and modes."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host

    def list(self, repository: str, revision: str, folder: str) -> Sequence[TreeEntry]:
        files = self._host.read_files(repository, self.find_commit(repository, revision))
        start = f"{check_path(folder)}/" if folder else ""
        entries: dict[str, TreeEntry] = {}
        for path, text in files.items():
            name, slash, _ = path.removeprefix(start).partition("/")
            if path.startswith(start):
                size = None if slash else len(text.encode())
                entries[name] = TreeEntry(name, EntryKind.FOLDER if slash else EntryKind.FILE, size)
        if folder and not entries:
            raise NotFoundError(f"no folder {folder!r}", "Open the root.")
        return sorted(entries.values(), key=lambda entry: (entry.kind is not EntryKind.FOLDER, entry.name))

    def read(self, repository: str, revision: str, path: str) -> bytes:
        files = self._host.read_files(repository, self.find_commit(repository, revision))
        if check_path(path) not in files:
            raise NotFoundError(f"no file {path!r}", "Open the folder above it.")
        if len(files[path].encode()) > MAX_FILE:
            raise TooLargeError(f"{path} is larger than {MAX_FILE} bytes")
        return files[path].encode()

    def find_commit(self, repository: str, name: str) -> str:
        try:
            return self._host.get_commit(repository, name).id
        except NotFoundError:
            commits = self._host.list_ids(repository)
        like = [commit for commit in commits if len(name) >= MIN_DIGITS and commit.startswith(name)]
        if len(like) != 1:
            raise make_unknown_commit_error(repository, name)
        return like[0]

    def list_commits(self, repository: str, revision: str, limit: int) -> Sequence[Commit]:
        return self._host.list_commits(repository, self.find_commit(repository, revision))[:limit]

    def diff_commits(self, repository: str, base: str | None, commit: str) -> str:
        if base is None:
            parents = self._host.list_commits(repository, commit)[1:2]
            base = parents[0].id if parents else None
        before = self._host.read_files(repository, base) if base else {}
        after = self._host.read_files(repository, commit)
        parts: list[str] = []
        for path in sorted({*before, *after}):
            old, new = (files.get(path, "").splitlines(keepends=True) for files in (before, after))
            parts += unified_diff(old, new, f"a/{path}", f"b/{path}") if old != new else []
        if sum(map(len, parts)) > MAX_FILE:
            raise TooLargeError("the difference is too large to show")
        return "".join(parts)

    def prepare(self, repository: str, edit: FileEdit, at: datetime) -> str:
        path = check_edit(edit)
        if self._host.list_heads(repository).get(edit.branch) != edit.parent:
            raise ChangedError(f"the branch {edit.branch} has moved", "Open it again.")
        files = dict(self._host.read_files(repository, edit.parent)) if edit.parent else {}
        if any(name.startswith(f"{path}/") for name in files):
            raise ConflictError(f"{path} is not a file", "Choose another path.")
        if files.get(path) == edit.content:
            raise make_unchanged_error(path)
        _require_no_file_above(files, path)
        files[path] = edit.content
        self._host.push(
            repository,
            files,
            edit.message.rstrip(),
            edit.branch,
            author=edit.author,
            time=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        )
        commit = self._host.list_heads(repository)[edit.branch]
        self._host.rewind_branch(repository, edit.branch, edit.parent)
        return commit

    def prepare_files(self, repository: str, edit: FilesEdit, at: datetime) -> str:
        check_authorship(edit.author, edit.message)
        contents = {check_content(path, content): content for path, content in edit.files.items()}
        files = dict(self._host.read_files(repository, edit.parent))
        for path in contents:
            if any(name.startswith(f"{path}/") for name in files):
                raise ConflictError(f"{path} is not a file", "Choose another path.")
            _require_no_file_above(files, path)
        self._host.rewind_branch(repository, _SCRATCH, self._host.get_commit(repository, edit.parent).id)
        time = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        message = edit.message.rstrip()
        commit = self._host.push(repository, files | contents, message, _SCRATCH, author=edit.author, time=time)
        self._host.rewind_branch(repository, _SCRATCH, None)
        return commit

    def move(self, repository: str, branch: str, old: str | None, new: str) -> None:
        if self._host.list_heads(repository).get(branch) != old:
            raise ChangedError(f"the branch {branch} has moved", "Open it again.")
        self._host.move(repository, branch, new)


def _require_no_file_above(files: Mapping[str, str], path: str) -> None:
    parts = path.split("/")
    for folder in ("/".join(parts[:number]) for number in range(1, len(parts))):
        if folder in files:
            raise make_file_above_error(path, folder)
