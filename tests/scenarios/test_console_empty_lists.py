"""Lists of a new server: what they say to those who may take the next step, and to others."""

from pathlib import Path

from tests.scenarios.browser import Browser
from tests.scenarios.server import ServerSystem

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
                    page, state = browser.get(path).text, EMPTY_STATES[name]
                    assert (f"<pre>{state.command}</pre>" in page) is is_admin, path
                    assert (str(state.others) in page) is not is_admin, path
