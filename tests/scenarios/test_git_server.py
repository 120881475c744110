"""Git over the server's own HTTP: who may push, what is recorded of a push, and clients that hang up."""

import gzip
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests.parts import run_git, wait_until, write
from tests.scenarios import slow_http
from tests.scenarios.git_server_host import NONE, RECEIVE, UPLOAD, Host, open_host

from dockgate.server.log_format import PrintableFormatter

pytestmark = pytest.mark.real


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with open_host(tmp_path) as host:
        yield host


def test_a_push_is_recorded_with_its_pusher_and_each_reference(host: Host) -> None:
    host.name_people()
    developer = host.tokens["developer"]
    first = host.commit("first")
    run_git(host.clone, "tag", "v1")
    run_git(host.clone, "push", "--quiet", host.make_url(developer), "HEAD:main", "HEAD:old", "v1")
    second = host.commit("second")
    run_git(host.clone, "push", "--quiet", host.make_url(developer), "HEAD:main", ":old")
    newest_entry, before = host.audit()
    assert {(entry["who"], entry["token"], entry["status"]) for entry in (newest_entry, before)} == {
        ("developer", developer.split("_")[1], 200)
    }
    assert before["subject"] == RECEIVE
    assert before["detail"].splitlines() == [
        f"refs/heads/main {NONE} -> {first}",
        f"refs/heads/old {NONE} -> {first}",
        f"refs/tags/v1 {NONE} -> {first}",
    ]
    assert newest_entry["detail"].splitlines() == [
        f"refs/heads/main {first} -> {second}",
        f"refs/heads/old {first} -> {NONE}",
    ]


def test_pushers_of_references_and_commits_are_recorded(host: Host) -> None:
    """By the token that git showed, whatever the commits say; a reference that git refuses is none's."""
    host.name_people()
    first = host.commit("first")
    run_git(host.clone, "push", "--quiet", host.make_url(host.tokens["developer"]), "HEAD:main")
    second = host.commit("second")
    run_git(host.clone, "push", "--quiet", host.make_url(host.tokens["admin"]), "HEAD:side")
    run_git(host.clone, "push", "--quiet", host.make_url(host.tokens["developer"]), "HEAD:main")
    run_git(host.clone, "checkout", "--quiet", "--orphan", "other")
    third = host.commit("third")
    run_git(host.clone, "push", "--quiet", host.make_url(host.tokens["admin"]), "HEAD:main", code=1)
    pushes = host.server.store.pushes
    moves = [(push.principal, push.token, push.old, push.new) for push in pushes.list_for_ref("web", "refs/heads/main")]
    token = host.tokens["developer"].split("_")[1]
    assert moves == [("developer", token, NONE, first), ("developer", token, first, second)]
    pushers = {
        commit: [entry.principal for entry in entries]
        for commit, entries in pushes.list_pushers("web", [first, second, third]).items()
    }
    assert pushers == {first: ["developer"], second: ["ada"]}
    assert list(pushes.list_unfinished("web")) == []


@pytest.mark.slow
def test_a_push_without_changes_is_recorded(host: Host) -> None:
    first = host.commit("first")
    run_git(host.clone, "push", "--quiet", host.make_url(), "HEAD:main")
    answer = slow_http.post(
        host.server.url + RECEIVE,
        content=host.push_body(first, old="1" * 40),
        headers={"Content-Type": "application/x-git-receive-pack-request"},
    )
    assert answer.status_code == 200
    assert host.audit()[0]["detail"] == "no reference"


def push_and_read_lines(host: Host, *arguments: str) -> list[str]:
    """What `git push` shows of the server's messages."""
    result = subprocess.run(
        ["git", "-C", str(host.clone), "push", host.make_url(), *arguments], capture_output=True, text=True, check=True
    )
    return [line.removeprefix("remote: ").rstrip() for line in result.stderr.splitlines() if line.startswith("remote:")]


def test_a_push_lists_its_executions_and_how_to_follow_them(host: Host) -> None:
    host.commit("first")
    lines = push_and_read_lines(host, "HEAD:main")
    assert lines == [
        "Started web-1",
        "  follow   dockgate pipeline logs -f web-1",
        "  details  dockgate pipeline show web-1",
        f"  console  {host.server.console_url}/executions/web-1",
    ]
    assert push_and_read_lines(host, "HEAD:main") == [], "nothing moved"
    assert push_and_read_lines(host, "HEAD:side") == ["No pipeline started: none has web side as its source."]


def test_the_messages_of_a_push_with_many_branches_are_bounded(host: Host) -> None:
    host.commit("first")
    assert len(push_and_read_lines(host, *(f"HEAD:refs/heads/b{number}" for number in range(10)))) == 5


def test_a_reader_cannot_push_by_any_query_or_spelling(host: Host) -> None:
    host.name_people()
    body = host.push_body(host.commit("first"))
    headers = {
        "Content-Type": "application/x-git-receive-pack-request",
        "Git-Protocol": "git-upload-pack",
        "X-HTTP-Method-Override": "GET",
    }
    paths = [RECEIVE, "/git/web.git/%67it-receive-pack"]
    queries = ["", "?service=git-upload-pack", "?service=git-upload-pack&x=git-receive-pack"]
    twice = RECEIVE + "?service=git-receive-pack&service=git-upload-pack"
    header_of_viewer = {**headers, "Authorization": f"Bearer {host.tokens['viewer']}"}
    assert slow_http.request("POST", host.server.url + twice, content=body, headers=header_of_viewer).status_code == 400
    for url in [host.server.url + path + query for path in paths for query in queries]:
        assert slow_http.request("POST", url, content=body, headers=header_of_viewer).status_code == 403, url
        assert host.list_references() == {}
        assert [(entry["who"], entry["status"]) for entry in host.audit()[:1]] == [("viewer", 403)]
    header_of_developer = {**headers, "Authorization": f"Bearer {host.tokens['developer']}"}
    for url in [host.server.url + path + queries[-1] for path in paths]:
        assert slow_http.request("POST", url, content=body, headers=header_of_developer).status_code == 200, url
        assert [(entry["who"], entry["status"]) for entry in host.audit()[:1]] == [("developer", 200)]


OTHERS = [
    ("POST", "/git/web.git/x/git-receive-pack"),
    ("POST", "/git/web.git/git-receive-pack/"),
    ("POST", "/git/web.git/info/refs?service=git-receive-pack"),
    ("POST", "/git/web.git//git-receive-pack"),
    ("POST", "/git/web.git/../web.git/git-receive-pack"),
    ("POST", "/git/web.git%2fgit-receive-pack%2f"),
    ("POST", "/git/x%2fweb.git_endpoints/git-receive-pack"),
    ("PUT", RECEIVE),
    ("GET", RECEIVE),
    ("GET", "/git/web.git/HEAD"),
    ("GET", "/git/web.git/config"),
    ("GET", "/git/web.git/objects/info/packs"),
    ("GET", "/git/web.git/info/refs"),
    ("GET", "/git/web.git/info/refs?service=git-receive-pack&service=git-upload-pack"),
    ("GET", "/git/web.git/info/refs?service=x"),
]
NO_PUSH = [
    b"",
    b"zzzz",
    b"0094" + b"x" * 50,
    b"0008push",
    b"%04x" % 109 + b"push-cert\0" + b"x" * 95,
    b"%04x" % (4 + 40 + 1 + 40 + 1 + 10) + b"1" * 40 + b" " + b"2" * 40 + b" refs/a\nb/",
]


def test_only_the_smart_protocol_is_served(host: Host) -> None:
    for method, path in OTHERS:
        answer = slow_http.request(method, httpx.URL(host.server.url + path), content=b"")
        assert answer.status_code in (400, 404, 405), (method, path, answer.text)
    headers = {"Content-Type": "application/x-git-receive-pack-request"}
    for body in NO_PUSH:
        answer = slow_http.request("POST", host.server.url + RECEIVE, content=body, headers=headers)
        assert (answer.status_code, host.list_references()) == (400, {}), (body, answer.text)
        assert answer.headers["content-type"].startswith("text/plain")  # git shows no other text to its user


def test_gzip_fetches_work_and_decompression_bombs_are_refused(host: Host, tmp_path: Path) -> None:
    host.commit("first")
    run_git(host.clone, "push", "--quiet", host.make_url(), "HEAD:main")
    run_git(tmp_path, "clone", "--quiet", host.make_url(), "other")
    stream = tmp_path / "stream"
    commit = "commit refs/heads/own\ncommitter A <a@example.org> {} +0000\ndata 0\n"
    stream.write_text("".join(commit.format(number) for number in range(100)))
    with stream.open() as source:
        subprocess.run(["git", "-C", str(tmp_path / "other"), "fast-import", "--quiet"], stdin=source, check=True)
    host.commit("more")
    run_git(host.clone, "push", "--quiet", host.make_url(), "HEAD:main")
    assert "gzip" in run_git(tmp_path / "other", "fetch", GIT_TRACE_CURL="1")  # it names its many own commits
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip"}
    post = partial(slow_http.request, "POST", host.server.url + UPLOAD, headers=headers)
    assert post(content=gzip.compress(b"0" * (64 << 20), 1)).status_code == 413
    assert post(content=b"no gzip").status_code == 400
    assert post(content=gzip.compress(b"0000")[:-4]).status_code == 400
    headers["Content-Encoding"] = "br"
    assert post(content=b"0000").status_code == 400
    wait_until(lambda: not list(host.server.options.scratch.iterdir()))  # an execution may still work there


def test_a_push_beyond_the_limit_is_refused_and_says_how_to_raise_it(host: Host) -> None:
    write(host.clone, {"big": os.urandom(2 << 20)})
    host.commit("too much for git's own limit in this test")
    assert "maximum allowed size" in run_git(host.clone, "push", host.make_url(), "HEAD:main", code=1)
    assert host.list_references() == {}


def test_a_push_of_an_oversized_commit_is_refused_with_its_reason_and_the_next_one_works(host: Host) -> None:
    write(host.clone, {"message": "a" * (2 << 20)})
    run_git(host.clone, "commit", "--quiet", "--allow-empty", "--file", "message")
    output = run_git(host.clone, "push", host.make_url(), "HEAD:main", code=1)
    assert "remote: dockgate: the commit" in output
    assert host.list_references() == {}
    assert host.audit()[0]["detail"] == "no reference"
    run_git(host.clone, "commit", "--quiet", "--amend", "--allow-empty", "--message", "short")
    run_git(host.clone, "push", "--quiet", host.make_url(), "HEAD:main")
    first = run_git(host.clone, "rev-parse", "HEAD").strip()
    wait_until(lambda: first in host.list_started_commits)


def test_a_reference_with_a_name_that_is_not_utf_8_is_refused(host: Host) -> None:
    host.name_people()
    host.commit("one")
    program = [b"git", b"-C", os.fsencode(host.clone), b"push", host.make_url(host.tokens["developer"]).encode()]
    result = subprocess.run([*program, b"HEAD:refs/heads/\xff"], capture_output=True, check=False)
    assert result.returncode
    assert host.list_references() == {}
    run_git(host.clone, "push", "--quiet", host.make_url(host.tokens["developer"]), "HEAD:gr\u00fcn")
    assert list(host.list_references()) == ["refs/heads/gr\u00fcn"]


def test_references_that_are_not_utf_8_keep_different_names(host: Host) -> None:
    host.name_people()
    commit = host.commit("one")
    run_git(host.clone, "push", "--quiet", host.make_url(host.tokens["developer"]), "HEAD:main")
    for name in (b"\xfe", b"\xff"):  # such as a repository that was copied has
        git_dir = os.fsencode(host.gate.folder / "web.git")
        subprocess.run([b"git", b"-C", git_dir, b"update-ref", b"refs/heads/" + name, commit.encode()], check=True)
    assert len(host.list_references()) == 3


def test_what_a_client_sends_cannot_forge_lines_of_the_log(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.name_people()
    want = b"want x\nadmin signed in\x1b[31m"
    body = b"%04x%s0000" % (len(want) + 4, want)
    authorization = {"Authorization": f"Bearer {host.tokens['viewer']}"}
    slow_http.post(host.server.url + UPLOAD, content=body, headers=authorization)
    record = wait_until(
        lambda: next((record for record in caplog.records if "admin signed in" in record.getMessage()), None)
    )
    line = PrintableFormatter("%(message)s").format(record)
    assert line.startswith("git http-backend /web.git/git-upload-pack: ")
    assert line.isprintable()
