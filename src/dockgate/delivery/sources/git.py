"""Repositories that Dockgate hosts: bare git repositories, one folder each, used through the git CLI."""

import asyncio
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dockgate.delivery.source_ports import Commit, CommitPeople, RepositoryHost, Room, allow_any_size
from dockgate.delivery.sources import pre_receive
from dockgate.delivery.sources.git_run import make_command, make_environment, run
from dockgate.delivery.sources.pre_receive import MAX_PATHS
from dockgate.shared.errors import NotFoundError, TooLargeError, UnavailableError, UsageError
from dockgate.shared.files import replace_file
from dockgate.shared.interfaces import override

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHUNK = 64 * 1024
# Bytes of git's error output that are logged.
_MAX_ERROR = 1000
# Git's placeholder for the character between the fields of one commit.
_SEPARATOR = "%x1f"

# Above the attributes of any commit: the archive is the whole tree, and does not change with branches and tags.
_ATTRIBUTES = "* -export-ignore -export-subst\n"


# Bytes of the archive of one commit.
MAX_ARCHIVE = 4 << 30

_log = logging.getLogger(__name__)


class GitHost(RepositoryHost):
    """A `source_ports.RepositoryHost`: every repository is `folder/<name>.git`.

    Any thread and process may call.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @override
    def create(self, repository: str) -> None:
        """Create a repository. UsageError for a name that is not allowed.

        A name has 1 to 100 of A-Z a-z 0-9 . _ - and starts with a letter or digit.
        """
        if not _NAME.fullmatch(repository):
            raise UsageError(
                f"{repository!r} cannot be the name of a repository",
                "Use up to 100 letters, digits, dots, dashes and underscores, starting with a letter or digit.",
            )
        git_dir = self._folder / f"{repository}.git"
        if git_dir.exists():
            return
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as scratch:
            new_repository = Path(scratch, "git")
            run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(new_repository))
            (new_repository / "info").mkdir(exist_ok=True)
            (new_repository / "info" / "attributes").write_text(_ATTRIBUTES)
            try:
                new_repository.rename(git_dir)
            except OSError:
                if not git_dir.exists():  # another request may have created it first
                    raise

    @override
    def list_heads(self, repository: str) -> Mapping[str, str]:
        git_dir = get_git_dir(self._folder, repository)
        lines = run("-C", str(git_dir), "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads")
        return {branch: commit for commit, _, branch in (line.partition(" ") for line in lines.splitlines())}

    @override
    def can_open(self, repository: str) -> bool:
        """What git itself looks for before it opens a repository (`is_git_directory` in its setup.c)."""
        git_dir = self._folder / f"{repository}.git"
        return (git_dir / "HEAD").is_file() and all((git_dir / name).is_dir() for name in ("objects", "refs"))

    @override
    def list_references(self, repository: str) -> Mapping[str, str]:
        git_dir = get_git_dir(self._folder, repository)
        lines = run("-C", str(git_dir), "for-each-ref", "--format=%(objectname) %(refname)")
        return {ref: object_id for object_id, _, ref in (line.partition(" ") for line in lines.splitlines())}

    @override
    def get_commit(self, repository: str, revision: str) -> Commit:
        git_dir = get_git_dir(self._folder, repository)
        name = _resolve_id(git_dir, repository, revision)
        form = "--format=%H%x00%an <%ae>%x00%ad%x00%B"
        date = "--date=format-local:%Y-%m-%dT%H:%M:%SZ"
        options = ("-1", "--no-show-signature", "--encoding=UTF-8", date, form)
        with _refuse_unknown(git_dir, repository, name):
            text = run("-C", str(git_dir), "log", *options, f"{name}^{{commit}}", "--")
        commit, author, time, message = text.split("\0", 3)
        return Commit(commit, author, message.rstrip("\n"), time)

    @override
    def find_branch(self, repository: str, commit: str) -> str | None:
        git_dir = get_git_dir(self._folder, repository)
        commit = _resolve_id(git_dir, repository, commit)
        holding = ("for-each-ref", "--count=1", f"--contains={commit}", "--format=%(refname:lstrip=2)", "refs/heads")
        with _refuse_unknown(git_dir, repository, commit):
            return run("-C", str(git_dir), *holding).strip() or None

    @override
    def list_commits_between(self, repository: str, base: str | None, head: str, limit: int) -> Sequence[CommitPeople]:
        git_dir = get_git_dir(self._folder, repository)
        ids = [_resolve_id(git_dir, repository, revision) for revision in (head, base) if revision]
        ends = [f"{sign}{commit}^{{commit}}" for sign, commit in zip(("", "^"), ids, strict=False)]
        co_authors = f"%(trailers:key=Co-authored-by,valueonly,unfold,separator={_SEPARATOR})"
        form = f"--format=%H{_SEPARATOR}%ae{_SEPARATOR}%ce{_SEPARATOR}{co_authors}"
        options = ("-z", "--no-show-signature", "--no-notes", "--encoding=UTF-8", f"--max-count={limit}", form)
        with _refuse_unknown(git_dir, repository, *ids):
            text = run("-C", str(git_dir), "log", *options, "--end-of-options", *ends, "--")
        return [_parse_commit_people(record) for record in text.split("\0") if record]

    @override
    def list_introduced_commits(
        self, repository: str, after: Sequence[str], before: Sequence[str], limit: int
    ) -> Sequence[str]:
        git_dir = get_git_dir(self._folder, repository)
        lines = "".join([*(f"{object_id}\n" for object_id in after), *(f"^{object_id}\n" for object_id in before)])
        output = (
            run("-C", str(git_dir), "rev-list", f"--max-count={limit}", "--stdin", input_text=lines) if after else ""
        )
        return output.split()

    @override
    def archive(self, repository: str, commit: str, into: Path, room: Room = allow_any_size) -> None:
        """Archive a commit. TooLargeError for more than MAX_PATHS files and folders, or MAX_ARCHIVE bytes."""
        git_dir = get_git_dir(self._folder, repository)
        commit = _resolve_id(git_dir, repository, commit)
        name = f"{commit}^{{commit}}"
        try:
            with _refuse_unknown(git_dir, repository, commit):
                run("-C", str(git_dir), "ls-tree", "-r", "-t", "--format=.", name, max_output=2 * MAX_PATHS)
        except TooLargeError:
            raise TooLargeError(
                f"the commit {commit} of {repository} has more than {MAX_PATHS} files and folders", "Remove some."
            ) from None
        maximum = min(MAX_ARCHIVE, room())
        with tempfile.NamedTemporaryFile(dir=into.parent, prefix=f".{into.name}-", delete=False) as new_file:
            try:
                run(
                    "-C", str(git_dir), "archive", "--format=tar", name, output=new_file, max_output=maximum, check=room
                )
                Path(new_file.name).replace(into)
            except BaseException:
                Path(new_file.name).unlink()
                raise


async def run_http_backend(
    folder: Path,
    repository: str,
    path: str,
    method: str,
    query: str,
    headers: Mapping[str, str],
    body: IO[bytes] | None,
    max_push: int = 0,
) -> tuple[int, Mapping[str, str], AsyncGenerator[bytes, None]]:
    """Answer a request of git's smart HTTP protocol by `git http-backend`, a CGI program.

    See gitprotocol-http(5) and RFC 3875. `path` is what follows the repository in the URL ("/info/refs"). `body` is the
    whole request, in a file at its start: git begins to answer before it has read all, which an HTTP server cannot pass
    on without mixing the two up. git refuses packs of more than `max_push` bytes (0: any size). Returns status, headers
    and body; close the body. Raises NotFoundError for an unknown repository. The child process ends with the body.
    """
    get_git_dir(folder, repository)
    if "\0" in path + query:
        raise NotFoundError(f"no such path in {repository}", "Use the URL that `dockgate repository list` shows.")
    values = {name.lower(): value for name, value in headers.items()}
    variables = {
        **make_environment(**{"receive.maxInputSize": str(max_push), "core.hooksPath": str(_make_hooks(folder))}),
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": method,
        "PATH_INFO": f"/{repository}.git{path}",
        "QUERY_STRING": query,
        "CONTENT_TYPE": values.get("content-type", ""),
        "CONTENT_LENGTH": str(os.fstat(body.fileno()).st_size if body else 0),
        "GIT_PROTOCOL": values.get("git-protocol", ""),
    }
    answer = _run_cgi(variables, body)
    head = await anext(answer)
    fields = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines() if ": " in line)
    status = int(fields.pop("Status", "200").split()[0])
    return status, fields, answer


async def _run_cgi(environment: Mapping[str, str], request: IO[bytes] | None) -> AsyncGenerator[bytes, None]:
    """Yield the answer's head, then its body in chunks.

    The child ends when the generator is closed or deleted.
    """
    stdin = request or subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *make_command("http-backend"),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    output, errors = process.stdout, process.stderr
    assert output is not None  # noqa: S101 - it is a pipe
    assert errors is not None  # noqa: S101 - as well
    logging_errors = asyncio.create_task(_log_errors(environment["PATH_INFO"], errors))
    try:
        try:
            yield await output.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise UnavailableError("git http-backend gave no answer", "See the server's log.") from error
        while chunk := await output.read(_CHUNK):
            yield chunk
        await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the commands it has started too
            await process.wait()
        await asyncio.wait([logging_errors], timeout=1)
        logging_errors.cancel()


async def _log_errors(path: str, errors: asyncio.StreamReader) -> None:
    """Log the beginning of git's error output, which repeats text of the client, on one line."""
    first = await errors.read(_MAX_ERROR)
    while await errors.read(_CHUNK):
        pass
    if first.strip():
        _log.warning("git http-backend %s: %s", path, first.decode(errors="backslashreplace").strip())


def _make_hooks(folder: Path) -> Path:
    """Make the folder of hooks for all repositories. Raises UnavailableError if git could not run them."""
    hooks = folder / ".hooks"
    hook = hooks / "pre-receive"
    program = shlex.join([sys.executable, "-I", "-S", pre_receive.__file__])
    script = f"#!/bin/sh\nexec {program}\n"
    if not hook.exists() or hook.read_text() != script:
        hooks.mkdir(mode=0o700, exist_ok=True)
        replace_file(hook, script.encode(), 0o700)
    if not os.access(hook, os.X_OK):  # git ignores such a hook
        raise UnavailableError(
            f"{hook} cannot be executed", f"Is {folder} on a file system that is mounted with noexec? Mount it without."
        )
    return hooks


def _parse_commit_people(record: str) -> CommitPeople:
    """Parse one commit in the format of `list_commits_between`."""
    commit, author, committer, *co_authors = record.strip("\n").split("\x1f")
    co_author_emails = (co_author.rpartition("<")[2].partition(">")[0] for co_author in co_authors)
    return CommitPeople(commit, tuple(dict.fromkeys(filter(None, (author, committer, *co_author_emails)))))


def get_git_dir(folder: Path, repository: str) -> Path:
    """Return the folder of a repository. Raises NotFoundError."""
    git_dir = folder / f"{repository}.git"
    if not _NAME.fullmatch(repository) or not git_dir.is_dir():
        raise NotFoundError(f"no repository {repository!r} here", "Create it with a Repository document.")
    return git_dir


def resolve(git_dir: Path, repository: str, revision: str) -> str:
    """The id of a commit, given by its id or a branch. Raises NotFoundError."""
    name = revision if _COMMIT.fullmatch(revision) else f"refs/heads/{revision}"
    command = ("-C", str(git_dir), "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")
    try:
        return run(*command).strip()
    except UnavailableError as error:
        if not isinstance(error.__cause__, subprocess.CalledProcessError) or error.__cause__.returncode != 1:
            raise
        is_id = name == revision
        advice = "Push a branch or a tag that has it." if is_id else f"Push it: git push origin HEAD:{revision}"
        raise NotFoundError(f"no commit or branch {revision!r} in {repository}", advice) from None


def _resolve_id(git_dir: Path, repository: str, revision: str) -> str:
    """The id of a branch's commit; an id as it is: whether there is such a commit shows when it is used."""
    return revision if _COMMIT.fullmatch(revision) else resolve(git_dir, repository, revision)


@contextmanager
def _refuse_unknown(git_dir: Path, repository: str, *commits: str) -> Iterator[None]:
    """Raise NotFoundError if git fails because one of these commits does not exist.

    To ask before would take a process each time.
    """
    try:
        yield
    except UnavailableError:
        for commit in commits:
            resolve(git_dir, repository, commit)
        raise
