"""The list of repositories: true after each push, without a process of git."""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.parts import run_git
from tests.scenarios.browser import Browser
from tests.scenarios.git_server_host import Host, open_host
from tests.scenarios.queries import OF_REQUESTS

pytestmark = pytest.mark.real

# The programs that threads of requests start, while a list is here (sys.addaudithook: a hook is never removed).
_started_programs: list[str] = []
_is_watching = threading.Event()


def _note_process(event: str, arguments: tuple[object, ...]) -> None:
    # The kind of event first: a hook sees every file that is opened, to the end of the process.
    if event == "subprocess.Popen" and _is_watching.is_set() and threading.current_thread().name == OF_REQUESTS:
        _started_programs.append(str(arguments[1]))


@cache
def _add_hook() -> None:
    sys.addaudithook(_note_process)


def list_started_programs(call: Callable[[], object]) -> list[str]:
    _add_hook()
    _started_programs.clear()
    _is_watching.set()
    try:
        call()
    finally:
        _is_watching.clear()
    return list(_started_programs)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with open_host(tmp_path) as host:
        yield host


def test_the_list_of_repositories_starts_no_git_process_and_is_true_after_each_push(host: Host) -> None:
    for number in range(5):
        host.server.apply(f"kind: Repository\nname: empty-{number}\n")
    with Browser(host.server) as browser:
        for text, names in (("first", ["main", "next"]), ("second", ["main"])):
            commit = host.commit(text)
            run_git(host.clone, "push", "--quiet", host.make_url(), *(f"HEAD:{name}" for name in names))
            assert list_started_programs(lambda: browser.get("/repositories")) == []
            assert f'href="/repositories/web/commits/{commit}"' in browser.get("/repositories").text
            view = next(view for view in host.server.get("/repositories") if view["name"] == "web")
            assert {view["heads"][name] for name in names} == {commit}
        run_git(host.clone, "push", "--quiet", host.make_url(), ":next")
        view = next(view for view in host.server.get("/repositories") if view["name"] == "web")
        assert view["heads"] == {"main": commit}
        assert list_started_programs(lambda: browser.get("/repositories/web")) != []  # the page of one asks git


def test_a_damaged_repository_is_listed_with_the_reason_of_git(host: Host) -> None:
    (host.gate.folder / "web.git" / "objects").rename(host.gate.folder / "away")
    (view,) = host.server.get("/repositories")
    assert view["heads"] == {}
    assert "not a git repository" in view["problem"]
