"""From an empty server to a scaled service by keyboard alone, in a browser without scripts; and what is removed."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import Page, expect
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.watched_browser import WatchedBrowser, check_no_faults, run_watched_chromium

from dockgate.services.identity.first_admin import LINK_PATH

pytestmark = [pytest.mark.real, pytest.mark.long]

# How often the tabulator is pressed before what is looked for is out of reach.
MOST = 60
# What the link, button or field that has the focus is called.
FOCUSED_TEXTS = """() => {
    const focused = document.activeElement
    return focused === document.body ? [] : [focused.ariaLabel, focused.getAttribute("name"), focused.innerText]
}"""
IMAGE = f"sha256:{sha256(b'shop').hexdigest()}"


@dataclass
class Keyboard:
    """A person who presses keys only."""

    page: Page

    def reach(self, name: str) -> None:
        """Press the tabulator until the link, button or field of this name, or of this beginning, has the focus."""
        for _ in range(MOST):
            self.page.keyboard.press("Tab")
            if any(text and " ".join(text.split()).startswith(name) for text in self.page.evaluate(FOCUSED_TEXTS)):
                return
        pytest.fail(f"{name} is not reached on {self.page.url}")

    def press(self, *names: str) -> None:
        for name in names:
            self.reach(name)
            self.enter()

    def enter(self) -> None:
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            self.reach(name)
            self.page.keyboard.press("Control+a")
            self.page.keyboard.insert_text(text)

    def expect_text(self, words: str) -> None:
        expect(self.page.locator("main")).to_contain_text(words)


def test_a_new_user_delivers_by_keyboard_alone_without_scripts(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, run_watched_chromium() as browser, check_no_faults(browser):
        _play(server, browser)


def _play(server: ServerSystem, browser: WatchedBrowser) -> None:
    ada = Keyboard(browser.make_context(base_url=server.console_url, java_script_enabled=False).new_page())
    ada.page.goto(f"{LINK_PATH}?key={server.services.access.first_admin.create_link()}")
    ada.fill(name="ada", email="ada@example.org")
    ada.press("Become the administrator")
    server.client.headers["Authorization"] = f"Bearer {ada.page.locator('pre').first.inner_text()}"
    ada.press("Overview", "New repository")
    ada.fill(name="shop")
    ada.press("Fill in", "Create repository", "Running", "New service")
    ada.fill(name="shop")
    ada.press("Fill in", "Create service", "Pipelines", "New pipeline")
    ada.fill(name="shop")
    for choice in ("repository", "service"):
        ada.reach(choice)
        ada.page.keyboard.type("shop")
    ada.press("Fill in", "Create pipeline")
    ada.expect_text("No execution yet.")

    server.plans[IMAGE] = ("shop", PlannedFindings({"CRITICAL": 1}))
    server.scan_may_end[IMAGE] = Event()
    server.builder.digests["shop/app"] = IMAGE
    server.push("shop")
    ada.press("Repositories", "shop", "Dockerfile", "Edit")
    ada.fill(content="FROM scratch\nLABEL again=1\n", message="Label it")
    ada.press("Commit")
    ada.expect_text("this starts shop")
    execution = wait_until(lambda: server.get("/pipelines/shop/executions"))[0]["id"]
    wait_until(lambda: server._find_approval(execution))
    server.end_scan(IMAGE)
    assert server.answer(execution) == "Rejected"
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Failed")

    ada.press("Overview", "See why", "Open verdict")
    ada.expect_text("To pass: 1 upgrade")
    ada.press("Waive CVE-")
    ada.fill(reason="It is never called.")
    ada.press("Preview")
    ada.expect_text("It counts in 1 image")
    ada.press("Save waiver")
    ada.expect_text("back to the verdict")
    ada.fill(q=execution)
    ada.enter()
    ada.press("Retry what failed")
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
    ada.press("Running", "shop")
    ada.fill(desired_count="2")
    ada.press("Change")
    wait_until(lambda: server.get("/services/shop")["service"]["desired_count"] == 2)
    ada.press("Sign out")
    expect(ada.page.get_by_role("heading", level=1)).to_have_text("Sign in to Dockgate")


@pytest.mark.parametrize("scripts", [True, False])
def test_what_is_removed_is_confirmed_by_keyboard(tmp_path: Path, scripts: bool) -> None:
    with ServerSystem(tmp_path) as server, run_watched_chromium() as browser, check_no_faults(browser):
        server.apply("kind: Policy\nname: brief\nrules:\n  max_findings: {CRITICAL: 0}\n")
        server.apply("kind: PolicyAssignment\nname: batch\npolicy: brief\nrepositories: ['batch/*']\n")
        context = browser.make_context(base_url=server.console_url, java_script_enabled=scripts)
        ada = Keyboard(context.new_page())
        ada.page.goto("/policies#assignments")
        ada.reach("Remove batch")  # its summary
        ada.page.keyboard.press("Enter")
        ada.press("Remove batch", "brief")
        ada.reach("Remove brief")
        ada.page.keyboard.press("Enter")
        ada.press("Remove brief")
        ada.expect_text("All repositories are judged by default")
        assert [policy["name"] for policy in server.get("/policies")] == ["default", "reference-2022"]
        assert server.get("/policy-assignments") == []
        context.close()


def test_the_page_of_a_collection_follows_it_to_its_end(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, run_watched_chromium() as browser, check_no_faults(browser):
        page = browser.make_context(base_url=server.console_url).new_page()
        server.post("/gc")
        page.goto("/gc")
        expect(page.locator("#runs")).to_contain_text("Succeeded", timeout=30_000)
