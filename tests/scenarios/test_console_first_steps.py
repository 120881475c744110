"""The console of a server without people: it says so, and the first person is added in the page."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.scenarios.accessibility import list_faults
from tests.scenarios.browser import Browser
from tests.scenarios.planned_images import MissingAdvisories
from tests.scenarios.server import ServerSystem
from tests.scenarios.watched_browser import run_watched_chromium

from dockgate.config import Settings
from dockgate.services.identity.first_admin import LINK_PATH
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.feed_states import change_states
from dockgate.vulnerabilities.feed_schedule import FeedState, PartFailure


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


def test_a_new_server_whose_feeds_fail_says_why_each_of_them_fails(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        server.advisories = MissingAdvisories(server.clock, [])
        settings = Settings(tmp_path, tmp_path)
        services = server.app.state.services
        upkeep = replace(services.upkeep, update_settings=settings)
        server.app.state.services = replace(services, upkeep=upkeep)
        failures = (PartFailure("kev", "the host of the feed has no address"),)
        state = FeedState("kev", failed_at=format_time(server.clock()), failures=1, failed_parts=failures)
        change_states(settings.advisories, lambda before: before.replace_feeds({"kev": state}))
        pages = [browser.get(path).text for path in ("/", "/advisories")]
        overview, advisories = (unescape(re.sub(r"<[^>]+>", "", page)) for page in pages)
        assert "There is no advisory database at advisories.db. Run" in overview
        assert "There is no advisory database at advisories.db. Run" in advisories
        assert "the host of the feed has no address" in advisories
        assert "dockgate db refresh" in advisories
        off_states = {feed.name: FeedState(feed.name, off="DOCKGATE_UPDATES turns it off") for feed in feeds.load()}
        change_states(settings.advisories, lambda before: before.replace_feeds(off_states))
        assert "dockgate db refresh" not in browser.get("/advisories").text  # it would be refused


@pytest.mark.slow
@pytest.mark.real
def test_the_pages_of_the_first_administrator_are_accessible(tmp_path: Path) -> None:
    faults: list[str] = []
    with ServerSystem(tmp_path) as server, run_watched_chromium() as browser:
        page = browser.make_context(base_url=server.console_url).new_page()

        def examine(heading: str) -> None:
            expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
            faults.extend(list_faults(page))

        browser.expect("status of 4")  # of what is refused below
        page.goto(f"{LINK_PATH}?key=wrong")
        examine("You are not signed in")
        page.goto(f"{LINK_PATH}?key={server.services.access.first_admin.create_link()}")
        examine("Become the administrator")
        page.get_by_role("textbox", name=re.compile("^Name")).fill("no name")
        page.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_contain_text("No administrator was added")
        examine("Become the administrator")
        page.get_by_role("textbox", name=re.compile("^Name")).fill("ada")
        page.get_by_role("button").click()
        examine("You are the administrator")
        faults += browser.take_faults()
    assert not faults, "\n".join(faults[:20])
