"""The console of a server without people: it says so, and the first person is added in the page."""

import re
from pathlib import Path

from tests.scenarios.browser import Browser
from tests.scenarios.server import ServerSystem


def test_a_page_says_that_anyone_may_do_everything_while_there_are_no_people(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        assert "Anyone on this machine may do everything" in browser.get("/").text
        assert browser.post("/people", data={"name": "eve", "role-admin": "yes"}).status_code == 403
        answer = browser.send_form("/people", name="ada", **{"role-admin": "yes"})
        token = re.search(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}", answer.text)
        assert token
        assert browser.get("/").status_code == 303
        assert browser.send_form("/signin", token=token[0]).status_code == 303
        assert "Anyone on this machine" not in browser.get("/").text
