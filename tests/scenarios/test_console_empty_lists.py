"""Lists of a new server: what they say to those who may take the next step, and to others, and with a damaged entry."""

from pathlib import Path

from tests.fakes.repository_host import MemoryHost
from tests.scenarios.browser import Browser, remove_word_marks
from tests.scenarios.server import ServerSystem

from dockgate.shared.errors import UnavailableError
from dockgate.web.console.empty_states import EMPTY_STATES


def test_an_empty_list_gives_a_command_only_to_those_who_may_run_it(tmp_path: Path) -> None:
    lists = {"/pipelines": "pipelines", "/running": "services", "/repositories": "repositories", "/waivers": "waivers"}
    with ServerSystem(tmp_path) as server:
        token = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
        server.client.headers["Authorization"] = f"Bearer {token}"
        server.post("/principals", {"name": "vic", "roles": ["viewer"]})
        viewer = server.post("/tokens", {"principal": "vic"})["text"]
        for text, is_admin in ((token, True), (viewer, False)):
            with Browser(server, text) as browser:
                for path, name in lists.items():
                    page, state = remove_word_marks(browser.get(path).text), EMPTY_STATES[name]
                    assert (f"<pre>{state.command}</pre>" in page) is is_admin, path
                    assert (str(state.step_of_others) in page) is not is_admin, path


def test_a_damaged_repository_is_listed_with_the_reason(tmp_path: Path) -> None:
    def fail(moment: str) -> None:
        if host.damaged_repositories and moment == "before heads":
            raise UnavailableError("git for-each-ref failed in web.git: not a git repository")

    host = MemoryHost(fail)
    with ServerSystem(tmp_path, source=host) as server:
        for name in ("api", "web"):
            server.apply(f"kind: Repository\nname: {name}\n")
        commit = server.push("api", files={"a": "1"})
        host.damaged_repositories.add("web")
        whole_view, view = server.get("/repositories")
        assert (whole_view["heads"], whole_view["problem"]) == ({"main": commit}, None)
        assert (view["name"], view["heads"]) == ("web", {})
        assert view["problem"] == "git for-each-ref failed in web.git: not a git repository"
        with Browser(server) as browser:
            page = browser.get("/repositories")
        assert page.status_code == 200
        assert "not a git repository" in page.text
