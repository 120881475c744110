"""Repositories in the console: files that people change, and commits that they find and compare."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.delivery.repository_files import MAX_FILE
from dockgate.identity.model import Role
from dockgate.store.delivery.source_commits import CommitSearch
from dockgate.web.recent_calls import MAX_RECORDED, FailedAuthentications, RecentCalls

# Its tests share a server, and later ones change what earlier ones look at.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        yield Site(server)


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


@pytest.fixture(autouse=True)
def _no_failed_sign_ins(site: Site) -> None:
    site.server.app.state.failed_authentications = FailedAuthentications()
    site.server.app.state.recorded_calls = RecentCalls(MAX_RECORDED)


def _edit_file(browser: Browser, path: str = "Dockerfile", **fields: str) -> httpx.Response:
    form = browser.get(f"/repositories/web/edit/{path}?at=main").text
    head = re.search(r'name="head" value="(\w+)"', form)
    assert head
    values = {"at": "main", "head": head[1], "path": path, "content": "FROM debian:13\n", "message": "Newer base"}
    values["opened"] = path
    return browser.send_form("/repositories/web/edit", **{**values, "author": "ben", "email": "ben@x.org", **fields})


def test_a_file_is_changed_in_the_page_and_starts_the_pipeline_as_a_push_does(site: Site) -> None:
    before = len(site.server.get("/pipelines/web/executions"))
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        assert "Dockerfile" in browser.get("/repositories/web").text
        file = browser.get("/repositories/web/files/Dockerfile?at=main").text
        assert "FROM scratch" in re.sub("</?span[^>]*>", "", file)
        for typed_path, page in (
            ("files/main/Dockerfile", "/files/Dockerfile?at=main"),
            ("edit/main/Dockerfile", "/edit/Dockerfile?at=main"),
            ("files/main", "?at=main"),
        ):
            assert browser.get(f"/repositories/web/{typed_path}").headers["location"] == f"/repositories/web{page}"
        assert browser.get("/repositories/web/files//x").status_code == 400
        answer = _edit_file(browser)
        assert answer.status_code == 303
        page = browser.get(answer.headers["location"]).text
        for query in ("", "?committed=main"):  # once, and never by a link
            assert "Committed to" not in browser.get(f"{answer.headers['location']}{query}").text
    assert 'Committed to <bdi class="foreign">main</bdi>: this starts <a href="/pipelines/web">web</a>' in page
    assert "<ins>+FROM debian:13</ins>" in page
    assert "<del>-FROM scratch</del>" in page
    wait_until(lambda: len(site.server.get("/pipelines/web/executions")) == before + 1)
    newest_execution = site.server.get("/pipelines/web/executions")[0]
    assert newest_execution["trigger"].get("by") == "developer", newest_execution
    commit = answer.headers["location"].rpartition("/")[2].partition("?")[0]
    assert newest_execution["trigger"]["commit"] == commit
    details = [entry["detail"] for entry in site.server.get("/audit?by=developer")]
    assert any(commit in detail for detail in details)


def test_an_edit_of_a_branch_that_has_moved_keeps_the_text(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        present_line = browser.get("/repositories/web/raw/Dockerfile?at=main").text.splitlines()[0]
        answer = _edit_file(browser, head="0" * 40, content="typed text")
        assert answer.status_code == 412
        assert "typed text" in answer.text
        assert "has moved" in answer.text
        assert "<ins>+typed text</ins>" in answer.text
        assert f"<del>-{present_line}</del>" in answer.text
        head = site.server.get("/repositories/web/commits?at=main")[0]["id"]
        assert f'name="head" value="{head}"' in answer.text
        assert _edit_file(browser, head=head, content="typed text").status_code == 303


def test_an_edit_without_a_change_starts_nothing(site: Site) -> None:
    before = site.server.get("/repositories/web/commits?at=main")
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        answer = _edit_file(browser, content=browser.get("/repositories/web/raw/Dockerfile?at=main").text)
    assert answer.status_code == 409
    assert "nothing to commit" in answer.text
    assert site.server.get("/repositories/web/commits?at=main") == before


def test_an_edit_keeps_the_blanks_of_a_file(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        assert _edit_file(browser, content="  two blanks\n\tand a tab  ").status_code == 303
        answer = browser.get("/repositories/web/raw/Dockerfile?at=main")
    assert answer.text == "  two blanks\n\tand a tab  \n"


def test_a_file_whose_path_ends_with_a_blank_is_changed_itself(site: Site) -> None:
    site.server.push("web", files={"Dockerfile": "FROM scratch\n", " notes ": "old\n"})
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        assert _edit_file(browser, " notes ", content="new\n").status_code == 303
        assert browser.get("/repositories/web/raw/ notes ?at=main").text == "new\n"
        assert browser.get("/repositories/web/raw/notes?at=main").status_code == 404


@pytest.mark.parametrize("path", ["../x", ".git/hooks/post-receive", "/etc/passwd", "a\nb"])
def test_an_edit_stays_in_the_tree(site: Site, path: str) -> None:
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        answer = _edit_file(browser, content=f"x of {path}")
        assert answer.status_code == 303
        form = browser.get("/repositories/web/edit/Dockerfile?at=main").text
        head = re.search(r'name="head" value="(\w+)"', form)
        assert head
        values = {"at": "main", "head": head[1], "content": "x", "message": "m", "author": "b", "email": "b@x.org"}
        assert browser.send_form("/repositories/web/edit", path=path, **values).status_code == 422


def test_a_new_file_replaces_none(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        response = _edit_file(browser, opened="", content="typed text")
        assert response.status_code == 409
        assert "Dockerfile exists already" in response.text
        assert 'href="/repositories/web/edit/Dockerfile?at=main"' in response.text
        assert "typed text" in response.text
        assert _edit_file(browser, opened="other", content="typed text").status_code == 409
        head = site.server.get("/repositories/web/commits?at=main")[0]["id"]
        fields = {"at": "main", "head": head, "author": "ben", "email": "ben@x.org", "message": "Add it"}
        nested_response = browser.send_form("/repositories/web/edit", path="Dockerfile/x", content="x", **fields)
        assert "because Dockerfile is no folder" in nested_response.text


def test_a_file_keeps_its_line_endings_and_one_that_is_not_text_is_not_changed(site: Site) -> None:
    content = "a\0b"
    site.server.push("web", files={"Dockerfile": "FROM scratch\n", "data": content, "mixed": "\ufeffa\r\nb\nc"})
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        assert "not text in UTF-8" in browser.get("/repositories/web/edit/data?at=main").text
        head = site.server.get("/repositories/web/commits?at=main")[0]["id"]
        fields = {"at": "main", "head": head, "author": "ben", "email": "ben@x.org", "message": "Change it"}
        response = browser.send_form("/repositories/web/edit", path="data", opened="data", content="a\r\nnew", **fields)
        assert response.status_code == 422
        answer = browser.send_form(
            "/repositories/web/edit", path="mixed", opened="mixed", content="a\r\nB\r\nc", **fields
        )
        assert answer.status_code == 303
        assert browser.get("/repositories/web/raw/mixed?at=main").content.decode() == "\ufeffa\r\nB\nc"


def test_a_file_and_a_difference_that_are_too_large_have_a_page_that_explains_it(site: Site, browser: Browser) -> None:
    commit = site.server.push("web", files={"Dockerfile": "FROM scratch\n", "a": "x" * (MAX_FILE + 1)}, branch="large")
    response = browser.get("/repositories/web/files/a?at=large")
    assert (response.status_code, "/raw/" in response.text) == (200, False)
    assert f"a is larger than {MAX_FILE} bytes" in response.text.lower()
    assert "The difference is too large to show." in browser.get(f"/repositories/web/commits/{commit}").text


def test_a_viewer_cannot_change_a_file(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        assert "/edit/" not in browser.get("/repositories/web/files/Dockerfile?at=main").text
        assert browser.get("/repositories/web/edit/Dockerfile?at=main").status_code == 403
        assert browser.send_form("/repositories/web/edit", path="x").status_code == 403


def test_two_commits_are_compared_and_commits_are_calls_too(site: Site, browser: Browser) -> None:
    before = site.server.get("/repositories/web/commits")[0]["id"]
    head = site.server.get("/repositories?limit=1000")
    web = next(entry for entry in head if entry["name"] == "web")["heads"]["main"]
    fields = {"at": "main", "head": web, "path": "notes.txt", "content": "new\n" * 2500}
    fields["message"] = f"Add notes\n\n{'why ' * 500}"
    browser.send_form("/repositories/web/edit", author="Ada", email="ada@example.org", **fields)
    newest_commit, *older = site.server.get("/repositories/web/commits?at=main")
    assert newest_commit["message"].startswith("Add notes\n\nwhy")
    assert len(newest_commit["message"]) == 1000
    assert older == site.server.get(f"/repositories/web/commits?after={newest_commit['id']}")
    assert site.server.client.get("/repositories/web/commits?after=main").status_code == 400
    page = browser.get(f"/repositories/web/commits/{newest_commit['id']}?against={before}").text
    assert f'What differs from <bdi class="foreign">{before}' in page
    assert "<ins>+new</ins>" in page
    call = next(link for link in Forms(page).links if link.startswith("/api/"))
    assert "+new" in browser.get(call).json()["difference"]
    for commit, base in ((newest_commit["id"][:8], before[:12]), ("main", before[:8])):
        assert "<ins>+new</ins>" in browser.get(f"/repositories/web/commits/{commit}?against={base}").text
    for at in (newest_commit["id"][:8], newest_commit["id"]):
        assert "Lines 1 to 1,000" in browser.get(f"/repositories/web/files/notes.txt?at={at}").text
    response = browser.get(f"/repositories/web/commits/{newest_commit['id']}?against=main~1")
    assert response.status_code == 404
    assert 'value="main~1"' in response.text
    assert "Nothing was compared" in response.text
    assert "Give a branch, a tag, or at least 4 digits" in response.text
    assert (
        "Nothing differs"
        in browser.get(f"/repositories/web/commits/{newest_commit['id']}?against={newest_commit['id']}").text
    )
    names = [entry["name"] for entry in site.server.get("/repositories/web/tree?at=main")]
    assert "notes.txt" in names
    assert "/edit/" in browser.get("/repositories/web/files/notes.txt?at=main").text
    file = browser.get("/repositories/web/files/notes.txt?at=main&from=1001").text
    assert "Lines 1,001 to 2,000 of 2,500 lines" in file
    assert re.findall(r'<a href="(/repositories/web/files/[^"]*)">(?:First|Previous|Next)', file) == [
        f"/repositories/web/files/notes.txt?at=main{line}" for line in ("", "&amp;from=1", "&amp;from=2001")
    ]


def test_search_finds_a_commit_with_its_executions_by_its_id_and_its_message(site: Site, browser: Browser) -> None:
    commits = site.server.store.source_commits
    site.server.push("web", message="Round halves to even")
    site.server.post("/pipelines/web/executions")
    wait_until(lambda: commits.find(CommitSearch("halves", is_id=False), 9).commits)
    (row,) = commits.find(CommitSearch("EVEN halves", is_id=False), 9).commits
    page, execution = f"/repositories/web/commits/{row.commit}", f"/executions/{row.execution}"
    for words in (row.commit[:7].upper(), "even halves"):
        assert {page, execution} <= set(Forms(browser.get("/search", params={"q": words}).text).links), words
    assert browser.get(f"/search?q={row.commit}").headers["location"] == page
    assert execution in Forms(browser.get(page).text).links
    commit = site.server.push("web", "ada", files={"Dockerfile": "FROM scratch", "a": "b"}, message="Never fetched")
    assert browser.get(f"/search?q={commit}").headers["location"] == f"/repositories/web/commits/{commit}"
    token = site.issue_token("ada", days=1, repositories=["other/*"])
    with Browser(site.server, token) as limited_browser:
        assert not {page, execution} & set(Forms(limited_browser.get("/search?q=halves").text).links)
