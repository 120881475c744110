"""From an empty server to a scaled service by keyboard alone, in a browser without scripts."""

from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import expect
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.keyboard import Keyboard
from tests.scenarios.server import ServerSystem
from tests.scenarios.watched_browser import WatchedBrowser, check_no_faults, run_watched_chromium

from dockgate.services.identity.first_admin import LINK_PATH

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.slow]

IMAGE = f"sha256:{sha256(b'shop').hexdigest()}"


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
