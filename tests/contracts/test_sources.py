"""What every source promises, and what git over HTTP does besides. Each changing call is made twice."""

import asyncio
import gc
import os
import tarfile
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from tests.contracts.source_systems import TIME, Git, Memory, Pushes
from tests.fakes.repository_host import MemoryHost
from tests.parts import Faults, run_git, serve_application, write

from dockgate.delivery.source_ports import CommitPeople
from dockgate.delivery.sources.git import GitHost, run_http_backend
from dockgate.shared.errors import DiskFullError, NotFoundError, TooLargeError, UnavailableError, UsageError


@pytest.fixture(params=[Memory, pytest.param(Git, marks=pytest.mark.real)])
def pushes(request: pytest.FixtureRequest, tmp_path: Path) -> Pushes:
    pushes: Pushes = request.param(tmp_path)
    pushes.host.create("web")
    return pushes


def test_a_new_repository_has_no_branches_and_making_it_again_changes_nothing(pushes: Pushes) -> None:
    assert pushes.host.list_heads("web") == {}
    head = pushes.push({"a": "1"})
    pushes.host.create("web")
    assert pushes.host.list_heads("web") == {"main": head}


def test_heads_are_branches_whatever_their_names(pushes: Pushes) -> None:
    first = pushes.push({"a": "1"})
    second = pushes.push({"a": "2"}, branch="team/a-b")
    assert first != second
    assert pushes.host.list_heads("web") == {"main": first, "team/a-b": second}


def test_a_repository_that_is_there_can_be_opened(pushes: Pushes) -> None:
    assert pushes.host.can_open("web")
    pushes.push({"a": "1"})
    assert pushes.host.can_open("web")
    for name in ("api", "../web", "", "."):
        assert not pushes.host.can_open(name)


def test_references_have_full_names(pushes: Pushes) -> None:
    assert pushes.host.list_references("web") == {}
    first = pushes.push({"a": "1"})
    second = pushes.push({"a": "2"}, branch="team/a-b")
    assert pushes.host.list_references("web") == {"refs/heads/main": first, "refs/heads/team/a-b": second}


def test_a_commit_is_found_by_branch_and_by_id(pushes: Pushes) -> None:
    message = "Raise flask\n\nIt was ölder."
    first = pushes.push({"a": "1"}, message)
    pushes.push({"a": "2"}, "Another")
    for revision in (first, "main"):
        commit = pushes.host.get_commit("web", revision)
        assert (commit.author, commit.time) == ("Ada <ada@example.org>", TIME)
    commit = pushes.host.get_commit("web", first)
    assert (commit.id, commit.message) == (first, message)
    assert pushes.host.get_commit("web", "main").message == "Another"


def test_the_branch_of_a_commit_is_the_first_by_name_that_contains_it(pushes: Pushes) -> None:
    first = pushes.push({"a": "1"})
    later = pushes.push({"a": "2"}, branch="later")
    assert pushes.host.find_branch("web", later) == "later"
    assert pushes.host.find_branch("web", first) in ("later", "main")
    with pytest.raises(NotFoundError):
        pushes.host.find_branch("web", "0" * 40)


def test_an_archive_is_the_tree_and_the_same_bytes_each_time(pushes: Pushes, tmp_path: Path) -> None:
    first = pushes.push({"Dockerfile": "FROM scratch\n", "app/main.py": "print()\n"})
    pushes.push({"Dockerfile": "FROM other\n"})
    into = tmp_path / "source.tar"
    into.write_text("what was there before")
    pushes.host.archive("web", first, into)
    bytes_before = into.read_bytes()
    pushes.host.archive("web", first, into)
    assert into.read_bytes() == bytes_before
    with tarfile.open(into) as tar:
        assert [name for name in tar.getnames() if "." in name or "D" in name] == ["Dockerfile", "app/main.py"]
        member = tar.extractfile("Dockerfile")
        assert member is not None
        assert member.read() == b"FROM scratch\n"


def test_an_unknown_repository_branch_or_commit_is_not_found(pushes: Pushes, tmp_path: Path) -> None:
    pushes.push({"a": "1"})
    into = tmp_path / "source.tar"
    into.write_text("what was there before")
    for call in (
        lambda: pushes.host.list_heads("other"),
        lambda: pushes.host.list_references("other"),
        lambda: pushes.host.get_commit("other", "main"),
        lambda: pushes.host.get_commit("web", "other"),
        lambda: pushes.host.get_commit("web", "--all"),
        lambda: pushes.host.get_commit("web", "0" * 40),
        lambda: pushes.host.archive("web", "0" * 40, into),
        lambda: pushes.host.archive("other", "0" * 40, into),
    ):
        with pytest.raises(NotFoundError) as error_info:
            call()
        assert error_info.value.advice
    assert into.read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} <= {"source.tar", "git", "clone"}


def test_an_archive_of_a_commit_stays_within_its_size_limit(pushes: Pushes, tmp_path: Path) -> None:
    commit = pushes.push({"a": "x" * 50_000})
    into = tmp_path / "source.tar"
    into.write_text("what was there before")

    def fail_to_write() -> int:
        raise DiskFullError("full")

    for room, error in ((fail_to_write, DiskFullError), (lambda: 20_000, TooLargeError)):
        with pytest.raises(error):
            pushes.host.archive("web", commit, into, room)
    assert into.read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} <= {"source.tar", "git", "clone"}
    pushes.host.archive("web", commit, into, lambda: 200_000)
    assert into.stat().st_size > 50_000


def test_the_fake_fails_at_the_configured_call() -> None:
    faults = Faults(after_create=[UnavailableError("power cut")])
    host = MemoryHost(faults)
    with pytest.raises(UnavailableError):
        host.create("web")
    host.create("web")
    assert host.list_heads("web") == {}
    assert faults.moments == ["before create", "after create", "before create", "after create", "before heads"]


# --- git alone ---------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("name", ["", ".", "..", "../web", "a/b", ".web", "-web", "a b", "a\0b", "a" * 101, "web\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    host = GitHost(tmp_path / "git")
    with pytest.raises(UsageError):
        host.create(name)
    with pytest.raises(NotFoundError):
        host.list_heads(name)
    assert list((tmp_path / "git").iterdir()) == []


@pytest.mark.real
@pytest.mark.parametrize("part", ["HEAD", "objects", "refs"])
def test_a_repository_that_git_cannot_open_is_recognized_without_git(tmp_path: Path, part: str) -> None:
    host = GitHost(tmp_path / "git")
    host.create("web")
    assert host.can_open("web")
    (tmp_path / "git" / "web.git" / part).rename(tmp_path / "away")
    assert not host.can_open("web")
    with pytest.raises(UnavailableError, match="not a git repository"):
        host.list_heads("web")


@pytest.mark.real
def test_no_attribute_of_git_changes_or_hides_files_of_the_archive(tmp_path: Path) -> None:
    pushes = Git(tmp_path)
    pushes.host.create("web")
    files = {".gitattributes": "hidden export-ignore\nrefs export-subst\n", "hidden": "1", "refs": "$Format:%D$"}
    commit = pushes.push(files)
    pushes.host.archive("web", commit, tmp_path / "before.tar")
    pushes.push({"a": "1"}, branch="other")
    pushes.host.archive("web", commit, tmp_path / "after.tar")
    assert (tmp_path / "before.tar").read_bytes() == (tmp_path / "after.tar").read_bytes()
    with tarfile.open(tmp_path / "after.tar") as tar:
        assert "hidden" in tar.getnames()
        refs = tar.extractfile("refs")
        assert refs is not None
        assert refs.read() == b"$Format:%D$"


@pytest.mark.real
def test_many_may_make_a_repository_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    host = GitHost(tmp_path / "git")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(host.create, ["web"] * 16))
    assert [path.name for path in (tmp_path / "git").iterdir()] == ["web.git"]
    assert host.list_heads("web") == {}


# --- git over HTTP -----------------------------------------------------------------------------------------------


def application(folder: Path) -> Callable[..., Awaitable[None]]:
    """The smallest ASGI application around `run_http_backend`."""

    async def answer(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[..., Any]) -> None:
        body = store_body(b"")
        while (message := await receive())["type"] == "http.request":
            body.write(message["body"])
            if not message["more_body"]:
                break
        body.seek(0)
        name, _, path = scope["path"].removeprefix("/").partition(".git")
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        try:
            status, fields, chunks = await run_http_backend(
                folder, name, path, scope["method"], scope["query_string"].decode(), headers, body
            )
        except NotFoundError:
            body.close()
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        encoded_headers = [(key.encode(), value.encode()) for key, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded_headers})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        body.close()
        await send({"type": "http.response.body", "body": b""})

    return answer


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    GitHost(tmp_path / "git").create("web")
    with serve_application(application(tmp_path / "git")) as url:
        yield url


@pytest.mark.real
def test_clone_push_and_fetch_over_http(tmp_path: Path, url: str) -> None:
    first_folder, second_folder = tmp_path / "one", tmp_path / "other"
    run_git(tmp_path, "clone", "--quiet", f"{url}/web.git", str(first_folder))
    write(first_folder, {"a": "1", "big": os.urandom(3_000_000)})  # above git's http.postBuffer: sent in chunks
    run_git(first_folder, "add", "--all")
    run_git(first_folder, "commit", "--quiet", "--message", "First")
    run_git(first_folder, "push", "origin", "HEAD:main")
    run_git(first_folder, "push", "origin", "HEAD:main")
    run_git(tmp_path, "clone", "--quiet", f"{url}/web.git", str(second_folder))
    assert (second_folder / "big").read_bytes() == (first_folder / "big").read_bytes()
    for number in range(30):
        run_git(first_folder, "commit", "--quiet", "--allow-empty", "--message", f"Change {number}")
    run_git(first_folder, "push", "--quiet", "origin", "HEAD:main")
    run_git(second_folder, "pull", "--quiet")
    assert GitHost(tmp_path / "git").list_heads("web") == {"main": run_git(second_folder, "rev-parse", "HEAD").strip()}


@pytest.mark.real
def test_git_speaks_the_protocol_version_it_was_asked_for(tmp_path: Path, url: str) -> None:
    trace = run_git(tmp_path, "ls-remote", f"{url}/web.git", GIT_TRACE_PACKET="1")
    assert "version 2" in trace


@pytest.mark.real
def test_an_unknown_repository_is_not_found_over_http(tmp_path: Path, url: str) -> None:
    assert "not found" in run_git(tmp_path, "ls-remote", f"{url}/other.git", code=128)


@pytest.mark.real
@pytest.mark.parametrize(
    ("path", "status"),
    [("/info/refs", 403), ("/HEAD", 403), ("/config", 404), ("/../web.git/HEAD", 500), ("/nothing", 404)],
)
def test_only_the_smart_protocol_is_served(tmp_path: Path, path: str, status: int) -> None:
    GitHost(tmp_path / "git").create("web")
    assert asyncio.run(fetch_answer(tmp_path / "git", path))[0] == status


@pytest.mark.real
def test_a_broken_push_changes_nothing(tmp_path: Path) -> None:
    GitHost(tmp_path / "git").create("web")
    status, text = asyncio.run(fetch_answer(tmp_path / "git", "/git-receive-pack", b"0094" + b"x" * 50))
    assert status == 200  # git's way: the head is out before the request is read
    assert text == b""
    assert GitHost(tmp_path / "git").list_heads("web") == {}


async def fetch_answer(folder: Path, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and text of a request; the children of this process are as many as before."""
    headers = {"content-type": f"application/x-{path.removeprefix('/')}-request"}
    with store_body(body) as file:
        status, _, chunks = await run_http_backend(folder, "web", path, "POST" if body else "GET", "", headers, file)
        text = b"".join([chunk async for chunk in chunks])
    assert list_children() == []
    return status, text


@pytest.mark.real
def test_an_unread_answer_leaves_no_child_process(tmp_path: Path) -> None:
    async def call_backend() -> None:
        answer = await run_http_backend(
            tmp_path / "git", "web", "/git-upload-pack", "POST", "", {"content-type": "x"}, None
        )
        del answer
        gc.collect()
        await asyncio.sleep(0.1)
        assert list_children() == []

    GitHost(tmp_path / "git").create("web")
    asyncio.run(call_backend())


def store_body(body: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(body)
    file.seek(0)
    return file


def list_children() -> list[str]:
    """The git processes that this process has started and that are still there, dead or alive."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    commands = [Path("/proc", child, "comm") for children in lists for child in children.read_text().split()]
    return [path.read_text() for path in commands if path.exists() and path.read_text().startswith("git")]


def list_ids(commits: Sequence[CommitPeople]) -> list[str]:
    return [commit.id for commit in commits]


def test_commits_between_two_are_those_since(pushes: Pushes) -> None:
    first, second, third = (pushes.push({"a": text}) for text in "123")
    between = pushes.host.list_commits_between
    assert list_ids(between("web", first, third, 10)) == [third, second]
    assert list_ids(between("web", None, third, 10)) == [third, second, first]
    assert list_ids(between("web", None, third, 2)) == [third, second]
    assert between("web", third, first, 10) == []
    assert {email for commit in between("web", None, third, 10) for email in commit.emails} == {"ada@example.org"}
    for base, head in ((None, "0" * 40), ("0" * 40, third)):
        with pytest.raises(NotFoundError):
            between("web", base, head, 10)
    with pytest.raises(NotFoundError):
        between("other", None, third, 10)


def test_commits_are_introduced_that_nothing_led_to_before(pushes: Pushes) -> None:
    first, second = pushes.push({"a": "1"}), pushes.push({"a": "2"})
    third = pushes.push({"a": "3"}, branch="team/a-b")
    list_introduced = pushes.host.list_introduced_commits
    assert set(list_introduced("web", [second, third], [], 10)) >= {first, second, third}
    assert list(list_introduced("web", [second], [first], 10)) == [second]
    assert list(list_introduced("web", [second], [second], 10)) == []
    assert list(list_introduced("web", [], [first], 10)) == []
    assert len(list_introduced("web", [second, third], [], 1)) == 1


@pytest.mark.real
def test_people_of_a_commit_are_those_it_names_whatever_was_pushed_beside_it(tmp_path: Path) -> None:
    """A pushed refs/replace/… would put another author and tree in a commit's place, if git heeded it."""
    source = Git(tmp_path)
    source.host.create("web")
    first = source.push({"a": "1"})
    message = "Merge\n\nCo-authored-by: Ben <BEN@example.org>\nCo-authored-by: C\u00e9 <ce@example.org>"
    clone = tmp_path / "clone"
    run_git(clone, "checkout", "--quiet", "-b", "side")
    run_git(clone, "commit", "--quiet", "--allow-empty", "-m", "Side", GIT_AUTHOR_EMAIL="side@example.org")
    run_git(clone, "checkout", "--quiet", "-")
    run_git(clone, "merge", "--quiet", "--no-ff", "-m", message, "side", GIT_COMMITTER_EMAIL="committer@example.org")
    head = source.push({"a": "2"})
    commits = source.host.list_commits_between("web", first, head, 10)
    emails = {email for commit in commits for email in commit.emails}
    assert emails == {
        "ada@example.org",
        "committer@example.org",
        "BEN@example.org",
        "ce@example.org",
        "side@example.org",
    }
    assert len(commits) == 3
    archive = tmp_path / "archive.tar"
    source.host.archive("web", head, archive)
    before = archive.read_bytes()
    run_git(clone, "checkout", "--quiet", "--orphan", "other")
    run_git(clone, "commit", "--quiet", "--allow-empty", "-m", "Innocent", GIT_AUTHOR_EMAIL="innocent@example.org")
    run_git(clone, "push", "--quiet", "origin", f"HEAD:refs/replace/{head}")
    assert source.host.list_references("web")[f"refs/replace/{head}"]
    assert source.host.list_commits_between("web", first, head, 10) == commits
    source.host.archive("web", head, archive)
    assert archive.read_bytes() == before
