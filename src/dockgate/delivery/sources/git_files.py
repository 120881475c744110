"""Files and history of the repositories that Dockgate hosts, and commits that change files."""

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.repository_files import (
    MAX_FILE,
    MIN_DIGITS,
    EntryKind,
    FileEdit,
    FilesEdit,
    RepositoryFiles,
    TreeEntry,
    is_path_supported,
)
from dockgate.delivery.source_ports import Commit
from dockgate.delivery.sources.git import get_git_dir, resolve
from dockgate.delivery.sources.git_run import run
from dockgate.shared.byte_sizes import format_byte_size
from dockgate.shared.errors import (
    ChangedError,
    ConflictError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from dockgate.shared.interfaces import override

_KINDS = {"040000": EntryKind.FOLDER, "120000": EntryKind.LINK, "160000": EntryKind.MODULE}
# The modes of files: a new one is not executable.
_FILES = ("100644", "100755")
_OBJECT = re.compile(r"[0-9a-f]{40}")
_DIGITS = re.compile(rf"[0-9a-f]{{{MIN_DIGITS},39}}")
# What no reference's name has, and what git reads as an expression in a revision (gitrevisions(7)).
_SYNTAX = re.compile(r"[\s~^:?*\[\\\x00-\x20\x7f]|@\{|\.\.|^-|^$")
# Objects whose ids begin alike, of which commits are looked for.
MAX_LIKE = 1000
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_AUTHOR = re.compile(r"[^<>\x00-\x1f\x7f]{1,100} <[^<>\s\x00-\x1f\x7f]{1,200}>")
MAX_MESSAGE = 10_000
# Seconds that a difference may take: a push of a few megabytes can have gigabytes of files.
DIFF_SECONDS = 20.0
GIT_ADVICE = "Fetch the repository, and look at it with git."
# Bytes of a name in a path: file systems refuse longer ones in a checkout.
MAX_NAME = 255
# With -z, each field ends with NUL, which no name and no message contains.
_COMMIT_FORMAT = "%H%x00%an <%ae>%x00%ad%x00%B"


class GitFiles(RepositoryFiles):
    """A `RepositoryFiles`: every repository is `folder/<name>.git`. Any thread and process may call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def list(self, repository: str, revision: str, folder: str) -> Sequence[TreeEntry]:
        git_dir, commit = self._find(repository, revision)
        if folder and _read_mode(git_dir, commit, check_path(folder)) != "040000":
            raise NotFoundError(f"no folder {folder!r} in {revision} of {repository}", "Open the repository's root.")
        tree = f"{commit}:{folder}" if folder else commit
        lines = run("-C", str(git_dir), "ls-tree", "-z", "--long", "--end-of-options", tree).split("\0")
        entries = []
        for properties, _, name in (line.partition("\t") for line in lines if line):
            mode, _, _, size = properties.split()
            kind = _KINDS.get(mode, EntryKind.FILE)
            entries.append(TreeEntry(name, kind, int(size) if size != "-" else None))
        return sorted(entries, key=lambda entry: (entry.kind is not EntryKind.FOLDER, entry.name))

    @override
    def read(self, repository: str, revision: str, path: str) -> bytes:
        git_dir, commit = self._find(repository, revision)
        if _read_mode(git_dir, commit, check_path(path)) in (None, "040000", "160000"):
            raise NotFoundError(f"no file {path!r} in {revision} of {repository}", "Open the folder above it.")
        try:
            return _read_output(git_dir, "cat-file", "blob", f"{commit}:{path}")
        except TooLargeError:
            raise TooLargeError(f"{path} is larger than {format_byte_size(MAX_FILE)}", GIT_ADVICE) from None

    @override
    def find_commit(self, repository: str, name: str) -> str:
        git_dir = get_git_dir(self._folder, repository)
        if _OBJECT.fullmatch(name):
            return resolve(git_dir, repository, name)
        if not _SYNTAX.search(name):
            for reference in (f"refs/heads/{name}", f"refs/tags/{name}"):
                if commits := _list_commit_ids(git_dir, [f"{reference}^{{commit}}"]):
                    return commits[0]
        if _DIGITS.fullmatch(name):
            objects = run("-C", str(git_dir), "rev-parse", f"--disambiguate={name}").split()
            commits = _list_commit_ids(git_dir, objects[:MAX_LIKE])
            if len(commits) == 1:
                return commits[0]
            if commits:
                raise NotFoundError(f"several commits of {repository} begin with {name}", "Give more digits of the id.")
        raise make_unknown_commit_error(repository, name)

    @override
    def list_commits(self, repository: str, revision: str, limit: int) -> Sequence[Commit]:
        git_dir, commit = self._find(repository, revision)
        date = "--date=format-local:%Y-%m-%dT%H:%M:%SZ"
        options = (
            "-z",
            "--no-show-signature",
            "--encoding=UTF-8",
            f"--max-count={limit}",
            date,
            f"--format={_COMMIT_FORMAT}",
        )
        text = run("-C", str(git_dir), "log", *options, "--end-of-options", commit, "--")
        fields = iter(text.split("\0")[:-1])
        return [
            Commit(identity, author, message.rstrip("\n"), time)
            for identity, author, time, message in zip(fields, fields, fields, fields, strict=True)
        ]

    @override
    def diff_commits(self, repository: str, base: str | None, commit: str) -> str:
        git_dir, end = self._find(repository, commit)
        options = ("--no-ext-diff", "--no-textconv", "--no-color", "-M", "--submodule=short", "--patch")
        arguments = (
            ["diff", *options, "--end-of-options", resolve(git_dir, repository, base)]
            if base
            else [*("show", "--format=", "--first-parent", "--no-show-signature"), *options, "--end-of-options"]
        )
        arguments += [end, "--"]
        try:
            return _read_output(git_dir, *arguments, check=_limit_time(DIFF_SECONDS)).decode("utf-8", "replace")
        except TooLargeError:  # its files, or the difference itself
            raise TooLargeError("the difference is too large to compute or to show", GIT_ADVICE) from None

    @override
    def prepare(self, repository: str, edit: FileEdit, at: datetime) -> str:
        git_dir = get_git_dir(self._folder, repository)
        path = check_edit(edit)
        self._check_branch(git_dir, edit.branch)
        if _find_head(git_dir, edit.branch) != edit.parent:
            raise _make_changed_error(edit.branch)
        blob = run("-C", str(git_dir), "hash-object", "--stdin", input_text=edit.content).strip()
        if edit.parent and _read_entry_field(git_dir, edit.parent, path, "objectname") == blob:
            raise make_unchanged_error(path)
        return _commit(git_dir, edit.parent, {path: edit.content}, edit.author, edit.message, at)

    @override
    def prepare_files(self, repository: str, edit: FilesEdit, at: datetime) -> str:
        git_dir, parent = self._find(repository, edit.parent)
        check_authorship(edit.author, edit.message)
        files = {check_content(path, content): content for path, content in sorted(edit.files.items())}
        return _commit(git_dir, parent, files, edit.author, edit.message, at)

    @override
    def move(self, repository: str, branch: str, old: str | None, new: str) -> None:
        git_dir = get_git_dir(self._folder, repository)
        try:
            run("-C", str(git_dir), "update-ref", f"refs/heads/{branch}", new, old or NO_OBJECT)
        except UnavailableError as error:
            if _find_head(git_dir, branch) == old:
                raise
            raise _make_changed_error(branch) from error

    def _find(self, repository: str, revision: str) -> tuple[Path, str]:
        git_dir = get_git_dir(self._folder, repository)
        return git_dir, self.find_commit(repository, revision)

    def _check_branch(self, git_dir: Path, branch: str) -> None:
        try:
            run("-C", str(git_dir), "check-ref-format", "--branch", branch)
        except UnavailableError:
            raise UsageError(f"{branch!r} cannot be the name of a branch", "Use letters, digits and dashes.") from None


def _commit(
    git_dir: Path, parent: str | None, files: Mapping[str, str], author: str, message: str, at: datetime
) -> str:
    """Make a commit of the parent's files (None: of none) with these contents. Return its id."""
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        if parent:
            run("-C", str(git_dir), "read-tree", parent, variables=index)
        for path, content in files.items():
            mode = _read_mode(git_dir, parent, path) if parent else None
            if mode not in (None, *_FILES):
                raise ConflictError(f"{path} is not a file", "Choose another path.")
            blob = run("-C", str(git_dir), "hash-object", "-w", "--stdin", input_text=content).strip()
            entry = f"{mode or _FILES[0]},{blob},{path}"
            try:
                run("-C", str(git_dir), "update-index", "--add", "--cacheinfo", entry, variables=index)
            except UnavailableError as error:
                raise _make_refused_path_error(git_dir, parent, path) from error
        tree = run("-C", str(git_dir), "write-tree", variables=index).strip()
    name, _, mail = author.rstrip(">").rpartition(" <")
    people = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", name), ("EMAIL", mail), ("DATE", f"@{int(at.timestamp())} +0000"))
    }
    arguments = ("commit-tree", tree, *(("-p", parent) if parent else ()), "-F", "-")
    return run("-C", str(git_dir), *arguments, input_text=f"{message.rstrip()}\n", variables=people).strip()


def _make_refused_path_error(git_dir: Path, parent: str | None, path: str) -> ConflictError:
    """The error of a path that git refuses: mostly because there is a file where it needs a folder."""
    parts = path.split("/")
    folders = ["/".join(parts[:number]) for number in range(1, len(parts))]
    for folder in folders:
        if parent and _read_mode(git_dir, parent, folder) not in (None, "040000"):
            return make_file_above_error(path, folder)
    return ConflictError(f"git does not accept {path} as the path of a file", "Choose another path.")


def make_file_above_error(path: str, file: str) -> ConflictError:
    """Return the error of a path below a file."""
    return ConflictError(f"{path} cannot be a file, because {file} is no folder", "Choose another path.")


def check_edit(edit: FileEdit) -> str:
    """Return the path of an edit.

    Raises UsageError for a path, branch, author or message that cannot be committed.
    """
    if not _BRANCH.fullmatch(edit.branch) or ".." in edit.branch:
        raise UsageError(f"{edit.branch!r} cannot be the name of a branch", "Use letters, digits and dashes.")
    check_authorship(edit.author, edit.message)
    return check_content(edit.path, edit.content)


def check_authorship(author: str, message: str) -> None:
    """Raise UsageError for an author or a message that cannot be committed."""
    if not _AUTHOR.fullmatch(author):
        raise UsageError(f"{author!r} is not an author", "Give a name and an e-mail address: Ada <ada@example.org>.")
    if not message.strip() or len(message) > MAX_MESSAGE or "\0" in message:
        raise UsageError("a commit needs a message", f"Say in at most {MAX_MESSAGE} characters what it changes.")


def check_content(path: str, content: str) -> str:
    """Return the path. Raises UsageError if a file with this path and content cannot be committed."""
    if len(content.encode()) > MAX_FILE:
        raise UsageError(f"{path} is larger than {MAX_FILE} bytes", "Push it with git.")
    if any(part.lower() == ".gitmodules" for part in path.split("/")):
        raise UsageError(
            f"{path} names submodules", "Push it with git: the server checks it for commands (git-fsck(1))."
        )
    if any(len(name.encode()) > MAX_NAME for name in path.split("/")):
        raise UsageError(f"{path} has a name of more than {MAX_NAME} bytes", "Most file systems refuse such names.")
    return check_path(path)


def check_path(path: str) -> str:
    """Return the path. Raises UsageError unless it is relative, normalised, printable, and outside .git."""
    if not is_path_supported(path):
        raise UsageError(f"{path!r} cannot be a path in a repository", "Use names and slashes: folder/file.txt.")
    return path


def _read_mode(git_dir: Path, commit: str, path: str) -> str | None:
    """Return the mode of a path in a commit, None if there is no such path."""
    return _read_entry_field(git_dir, commit, path, "objectmode")


def _read_entry_field(git_dir: Path, commit: str, path: str, field: str) -> str | None:
    """Return a field of a path in a commit (git-ls-tree(1)), None if there is no such path."""
    arguments = ("ls-tree", "-z", "--full-tree", f"--format=%({field})", "--end-of-options", commit, "--", path)
    line = run("-C", str(git_dir), "--literal-pathspecs", *arguments)
    return line.split("\0")[0] or None


def _list_commit_ids(git_dir: Path, names: Sequence[str]) -> list[str]:
    """The ids of those of the names of objects that are commits."""
    lines = run("-C", str(git_dir), "cat-file", "--batch-check", input_text="".join(f"{name}\n" for name in names))
    return [words[0] for words in map(str.split, lines.splitlines()) if words[1:2] == ["commit"]]


def _read_output(git_dir: Path, *arguments: str, check: Callable[[], object] = lambda: None) -> bytes:
    with tempfile.TemporaryFile() as file:
        run("-C", str(git_dir), *arguments, output=file, max_output=MAX_FILE, check=check)
        file.seek(0)
        return file.read()


def _limit_time(seconds: float) -> Callable[[], None]:
    """A function that raises TooLargeError when it is called after this time."""
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise TooLargeError(f"git takes longer than {seconds:g} s", "Fetch less at once, or clone the repository.")

    return check


def _find_head(git_dir: Path, branch: str) -> str | None:
    """Return the commit of a branch, None if it does not exist."""
    return run("-C", str(git_dir), "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").strip() or None


def _make_changed_error(branch: str) -> ChangedError:
    message = f"the branch {branch} has moved since the file was opened"
    return ChangedError(message, "Compare what it has now with your text, and commit again.")


def make_unknown_commit_error(repository: str, name: str) -> NotFoundError:
    """Return the error of a name that is no commit's, no branch's and no tag's."""
    advice = f"Give a branch, a tag, or at least {MIN_DIGITS} digits of a commit's id."
    return NotFoundError(f"no commit, branch or tag {name!r} in {repository}", advice)


def make_unchanged_error(path: str) -> ConflictError:
    """Return the error of an edit that changes nothing."""
    return ConflictError(f"{path} has this content already: there is nothing to commit", "Change the content first.")
