"""What every `RepositoryFiles` promises: reading files and history, and committing a change of one file."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest
from tests.contracts.source_systems import Git, Memory
from tests.fakes.repository_files import MemoryFiles
from tests.fakes.repository_host import MemoryHost
from tests.parts import run_git

from dockgate.delivery.repository_files import (
    MAX_FILE,
    EntryKind,
    FileEdit,
    FilesEdit,
    RepositoryFiles,
    is_path_supported,
)
from dockgate.delivery.sources.git_files import GitFiles
from dockgate.shared.errors import ChangedError, ConflictError, NotFoundError, TooLargeError, UsageError

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
AUTHOR = "Ada Lovelace <ada@example.org>"


class Repository(Protocol):
    """A repository `web` that a test can push to, and its files."""

    @property
    def files(self) -> RepositoryFiles: ...
    def push(self, files: Mapping[str, str], message: str = "Change", branch: str = "main") -> str: ...
    def find_head(self, branch: str = "main") -> str | None: ...


class InMemory(Memory):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        assert isinstance(self.host, MemoryHost)
        self.files = MemoryFiles(self.host)

    def find_head(self, branch: str = "main") -> str | None:
        return self.host.list_heads("web").get(branch)


class InGit(Git):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = GitFiles(folder / "git")

    def find_head(self, branch: str = "main") -> str | None:
        return self.host.list_heads("web").get(branch)


@pytest.fixture(params=[InMemory, pytest.param(InGit, marks=pytest.mark.real)])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    repository: InMemory | InGit = request.param(tmp_path)
    repository.host.create("web")
    return repository


def change(parent: str | None, path: str = "Dockerfile", content: str = "FROM b\n", **settings: str) -> FileEdit:
    values = {"branch": "main", "author": AUTHOR, "message": "Change the base", **settings}
    return FileEdit(parent=parent, path=path, content=content, **values)


def commit(repository: Repository, edit: FileEdit) -> str:
    commit_id = repository.files.prepare("web", edit, AT)
    repository.files.move("web", edit.branch, edit.parent, commit_id)
    return commit_id


def test_a_folder_lists_folders_first(repository: Repository) -> None:
    repository.push({"b.txt": "12", "a/x": "1", "c d/é.txt": "1"})
    entries = repository.files.list("web", "main", "")
    assert [(entry.name, entry.kind) for entry in entries] == [
        ("a", EntryKind.FOLDER),
        ("c d", EntryKind.FOLDER),
        ("b.txt", EntryKind.FILE),
    ]
    assert entries[-1].size == 2
    assert [entry.name for entry in repository.files.list("web", "main", "c d")] == ["é.txt"]


def test_a_file_is_read_at_a_branch_and_at_a_commit(repository: Repository) -> None:
    first = repository.push({"a/b.txt": "one"})
    repository.push({"a/b.txt": "two"})
    assert repository.files.read("web", "main", "a/b.txt") == b"two"
    assert repository.files.read("web", first, "a/b.txt") == b"one"


def test_a_path_without_a_file_is_not_found(repository: Repository) -> None:
    repository.push({"a/b.txt": "one"})
    for path in ("missing", "a", "a/missing/x"):
        with pytest.raises(NotFoundError):
            repository.files.read("web", "main", path)


def test_unknown_repositories_revisions_and_folders_are_not_found(repository: Repository) -> None:
    repository.push({"a/b.txt": "one"})
    for name, revision, folder in (("none", "main", ""), ("web", "none", ""), ("web", "main", "none")):
        with pytest.raises(NotFoundError):
            repository.files.list(name, revision, folder)


def test_a_large_file_and_difference_are_refused(repository: Repository) -> None:
    commit = repository.push({"a": "x" * (MAX_FILE + 1)})
    with pytest.raises(TooLargeError, match="a is larger than"):
        repository.files.read("web", "main", "a")
    with pytest.raises(TooLargeError, match="the difference is too large"):
        repository.files.diff_commits("web", None, commit)


def test_the_history_is_newest_first(repository: Repository) -> None:
    first = repository.push({"a": "1"}, "First\n\nwith more")
    second = repository.push({"a": "2"}, "Second")
    history = repository.files.list_commits("web", "main", 10)
    assert [(entry.id, entry.message) for entry in history] == [(second, "Second"), (first, "First\n\nwith more")]
    assert len(repository.files.list_commits("web", "main", 1)) == 1


def test_a_commit_is_found_by_what_people_call_it(repository: Repository) -> None:
    first = repository.push({"a": "1"}, "First")
    second = repository.push({"a": "2"}, "Second")
    assert repository.files.find_commit("web", "main") == second
    for digits in (4, 8, 12, 39, 40):
        assert repository.files.find_commit("web", first[:digits]) == first
    assert repository.files.read("web", first[:8], "a") == b"1"
    assert [entry.size for entry in repository.files.list("web", first[:8], "")] == [1]
    assert [entry.id for entry in repository.files.list_commits("web", first[:8], 9)] == [first]


EXPRESSIONS = (
    *("", "-", "--all", "HEAD", "main^", "main~1", "main@{1}", "@{-1}", ":/Second", "main:a", "main^{tree}", "@"),
    *("refs/heads/main", "main..main", "main\nmain", "main main", "abc", "g" * 8, "0" * 8, "0" * 40, "*"),
)


def test_no_expression_of_git_names_a_commit(repository: Repository) -> None:
    repository.push({"a": "1"}, "First")
    repository.push({"a": "2"}, "Second")
    for name in EXPRESSIONS:
        with pytest.raises(NotFoundError) as error_info:
            repository.files.find_commit("web", name)
        assert error_info.value.advice, name
        with pytest.raises(NotFoundError) as error:
            repository.files.list("web", name, "")
        assert "HEAD:" not in str(error.value.advice), name


@pytest.mark.real
def test_tags_name_commits_and_digits_of_several_commits_name_none(tmp_path: Path) -> None:
    repository = InGit(tmp_path)
    repository.host.create("web")
    commits = [repository.push({"a": str(number)}) for number in range(3)]
    clone = tmp_path / "clone"
    run_git(clone, "tag", "-a", "-m", "v1", "v1", commits[0])
    run_git(clone, "tag", commits[1][:8], commits[2])
    run_git(clone, "push", "--quiet", "--tags", "origin")
    assert repository.files.find_commit("web", "v1") == commits[0]
    assert repository.files.read("web", "v1", "a") == b"0"
    assert repository.files.find_commit("web", commits[1][:8]) == commits[2]
    tree = run_git(clone, "rev-parse", f"{commits[0]}^{{tree}}").strip()
    with pytest.raises(NotFoundError):
        repository.files.find_commit("web", tree[:12])


def test_a_message_with_control_characters_is_one_commit(repository: Repository) -> None:
    message = "First\x1e\n\nb\x1fc\x1e\x1d"
    repository.push({"a": "1"}, message)
    assert [entry.message for entry in repository.files.list_commits("web", "main", 10)] == [message]


def test_a_difference_has_both_sides(repository: Repository) -> None:
    first = repository.push({"a": "one\n", "b": "same\n"})
    second = repository.push({"a": "two\n", "b": "same\n"})
    for base in (first, None):
        difference = repository.files.diff_commits("web", base, second)
        assert "-one\n+two\n" in difference
        assert "same" not in difference
    assert "+one" in repository.files.diff_commits("web", None, first)


def test_an_edit_changes_one_file_of_the_branch(repository: Repository) -> None:
    first = repository.push({"Dockerfile": "FROM a\n", "app/main.py": "pass\n"})
    commit_id = commit(repository, change(first))
    assert repository.find_head() == commit_id
    assert repository.files.read("web", "main", "Dockerfile") == b"FROM b\n"
    assert repository.files.read("web", "main", "app/main.py") == b"pass\n"
    newest_commit = repository.files.list_commits("web", "main", 1)[0]
    assert (newest_commit.author, newest_commit.message, newest_commit.time) == (
        AUTHOR,
        "Change the base",
        "2026-11-28T12:00:00Z",
    )


def test_a_prepared_commit_is_on_no_branch_until_it_is_moved(repository: Repository) -> None:
    first = repository.push({"a": "1"})
    commit_id = repository.files.prepare("web", change(first), AT)
    assert repository.find_head() == first
    repository.files.move("web", "main", first, commit_id)
    assert repository.find_head() == commit_id


def test_an_edit_adds_a_file_in_new_folders_and_in_an_empty_repository(repository: Repository) -> None:
    first = commit(repository, change(None, "deep/er/file.txt", "x\n"))
    assert repository.files.read("web", first, "deep/er/file.txt") == b"x\n"
    commit(repository, change(first, "other", "y\n"))
    assert [entry.name for entry in repository.files.list("web", "main", "")] == ["deep", "other"]


def test_an_edit_of_a_branch_that_has_moved_changes_nothing(repository: Repository) -> None:
    first = repository.push({"a": "1"})
    commit_id = repository.files.prepare("web", change(first), AT)
    second = repository.push({"a": "2"})
    with pytest.raises(ChangedError):
        repository.files.move("web", "main", first, commit_id)
    with pytest.raises(ChangedError):
        repository.files.prepare("web", change(first), AT)
    with pytest.raises(ChangedError):
        repository.files.prepare("web", change(None), AT)
    assert repository.find_head() == second


def test_an_edit_that_changes_nothing_is_refused(repository: Repository) -> None:
    first = repository.push({"Dockerfile": "FROM b\n"})
    with pytest.raises(ConflictError, match="nothing to commit"):
        repository.files.prepare("web", change(first), AT)
    assert repository.find_head() == first


def test_several_files_are_one_commit_on_no_branch_and_the_same_edit_gives_the_same_commit(
    repository: Repository,
) -> None:
    first = repository.push({"Dockerfile": "FROM a\n", "b/c.txt": "1\r\n", "d": "1"})
    contents = {"Dockerfile": "FROM b\n", "b/c.txt": "2\r\n", "new/e": "x"}
    edit = FilesEdit(first, contents, AUTHOR, "Change two")
    commit_id = repository.files.prepare_files("web", edit, AT)
    assert repository.files.prepare_files("web", edit, AT) == commit_id
    assert repository.find_head() == first
    later = repository.push({"Dockerfile": "FROM z\n"})
    assert repository.files.prepare_files("web", edit, AT) == commit_id
    repository.files.move("web", "dockgate/fix-1", None, commit_id)
    assert repository.find_head("dockgate/fix-1") == commit_id
    assert repository.find_head() == later
    for path, content in {**contents, "d": "1"}.items():
        assert repository.files.read("web", commit_id, path) == content.encode()
    newest_commit, parent = repository.files.list_commits("web", commit_id, 2)
    assert (newest_commit.author, newest_commit.message, parent.id) == (AUTHOR, "Change two", first)


def test_an_edit_of_several_files_that_git_cannot_commit_is_refused(repository: Repository) -> None:
    first = repository.push({"a/b": "1"})
    for path, content in (("../x", "1"), ("x", "y" * (MAX_FILE + 1)), (f"a/{'x' * 256}", "1")):
        with pytest.raises(UsageError):
            repository.files.prepare_files("web", FilesEdit(first, {path: content}, AUTHOR, "x"), AT)
    with pytest.raises(ConflictError):
        repository.files.prepare_files("web", FilesEdit(first, {"a": "1"}, AUTHOR, "x"), AT)
    with pytest.raises(NotFoundError):
        repository.files.prepare_files("web", FilesEdit("0" * 40, {"a": "1"}, AUTHOR, "x"), AT)
    with pytest.raises(UsageError):
        repository.files.prepare_files("web", FilesEdit(first, {"c": "1"}, "no address", "x"), AT)


def test_a_folder_is_no_file_to_edit(repository: Repository) -> None:
    first = repository.push({"a/b": "1"})
    with pytest.raises(ConflictError):
        repository.files.prepare("web", change(first, "a"), AT)


def test_a_path_below_a_file_is_refused_in_a_sentence(repository: Repository) -> None:
    first = repository.push({"a/b": "1"})
    for path in ("a/b/c", "a/b/c/d"):
        with pytest.raises(ConflictError, match=rf"^{path} cannot be a file, because a/b is no folder$"):
            repository.files.prepare("web", change(first, path), AT)
        with pytest.raises(ConflictError, match="because a/b is no folder"):
            repository.files.prepare_files("web", FilesEdit(first, {path: "1"}, AUTHOR, "x"), AT)


def test_a_name_has_255_bytes_at_most(repository: Repository) -> None:
    first = repository.push({"a": "1"})
    commit(repository, change(first, f"b/{'x' * 255}"))
    for name in ("x" * 256, "é" * 128):
        with pytest.raises(UsageError, match="more than 255 bytes"):
            repository.files.prepare("web", change(repository.find_head(), f"{name}/b"), AT)


FORBIDDEN_PATHS = (
    *("", "/etc/passwd", "a//b", "../x", "a/../b", ".", "a/.git/config", ".GIT/hooks/x"),
    *("a\nb", "a\0b", "a\\b", "C:x", "x" * 2000, ".gitmodules", "a/.GitModules"),
)


def test_a_path_outside_the_tree_is_refused(repository: Repository) -> None:
    first = repository.push({"a": "1"})
    for path in FORBIDDEN_PATHS:
        with pytest.raises(UsageError):
            repository.files.prepare("web", change(first, path), AT)


def test_a_path_that_is_not_supported_is_not_read(repository: Repository) -> None:
    repository.push({"a": "1"})
    for path in ("a:b.txt", "bad\\xff.txt", "new\nline", "a/.GIT/x", "x" * 1001, "a\u202eb"):
        assert not is_path_supported(path), path
        for call in (repository.files.read, repository.files.list):
            with pytest.raises(UsageError):
                call("web", "main", path)
    assert is_path_supported("folder/é, b.txt")


@pytest.mark.parametrize(
    "fields",
    [
        {"author": "no address"},
        {"author": "a <b> <c@d>"},
        {"author": "a\nb <c@d>"},
        {"author": " <c@d>x"},
        {"message": "  "},
        {"message": "x" * 20_000},
        {"branch": "-x"},
        {"branch": "a..b"},
        {"branch": "refs/heads/x y"},
        {"content": "x" * (MAX_FILE + 1)},
    ],
)
def test_a_path_that_git_cannot_commit_is_refused(repository: Repository, fields: dict[str, str]) -> None:
    first = repository.push({"a": "1"})
    with pytest.raises((UsageError, ChangedError)):
        repository.files.prepare("web", change(first, **fields), AT)
    assert repository.find_head() == first


@pytest.mark.real
def test_git_keeps_the_mode_of_a_file_and_refuses_to_write_through_a_link(tmp_path: Path) -> None:
    repository = InGit(tmp_path)
    repository.host.create("web")
    repository.push({"run.sh": "a\n"})
    clone = tmp_path / "clone"
    (clone / "run.sh").chmod(0o755)
    (clone / "link").symlink_to("/etc/passwd")
    run_git(clone, "add", "--all")
    run_git(clone, "commit", "--quiet", "-m", "modes")
    run_git(clone, "push", "--quiet", "origin", "HEAD:main")
    head = repository.find_head()
    assert repository.files.read("web", "main", "link") == b"/etc/passwd"
    with pytest.raises(ConflictError):
        repository.files.prepare("web", change(head, "link", "x"), AT)
    with pytest.raises(ConflictError):
        repository.files.prepare("web", change(head, "link/x", "x"), AT)
    commit(repository, change(head, "run.sh", "b\n"))
    run_git(clone, "pull", "--quiet", "origin", "main")
    assert (clone / "run.sh").stat().st_mode & 0o111


@pytest.mark.real
def test_a_message_and_content_cannot_be_commands_of_git(tmp_path: Path) -> None:
    repository = InGit(tmp_path)
    repository.host.create("web")
    first = repository.push({"a": "1"})
    text = "data 3\nreset refs/heads/evil\nfrom main\n"
    commit(repository, change(first, "a", text, message=text))
    assert repository.find_head("evil") is None
    assert repository.files.read("web", "main", "a") == text.encode()
