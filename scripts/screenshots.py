"""Take the screenshots of docs/console: the pages of an invented server, in light and dark and on a phone.

python scripts/screenshots.py [FOLDER]
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright  # noqa: E402
from scripts.screenshot_site import FILE, PEOPLE, Site, fill  # noqa: E402
from tests.scenarios.accessibility import CHROMIUM  # noqa: E402

from dockgate.services.identity.first_admin import LINK_PATH  # noqa: E402

# Height of a screenshot in pixels; longer pages are cut.
HEIGHT = 860
VIEWS = (("light", 1280), ("dark", 1280), ("phone", 390))


def main(folder: Path) -> None:
    """Write a file for each page and view."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data, Site(Path(data)) as server:
        pages = fill(server)
        verdict = server.post(f"{pages['verdict']}/link", {})["url"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for view, width in VIEWS:
                link = f"{LINK_PATH}?key={server.services.access.first_admin.create_link()}"
                _take(_open(browser, server.console_url, view, width), folder, view, {"first-admin": link})
            token = server.post("/principals", {"name": "ada", "roles": ["admin"], "email": "ada@ops.example"})["token"]
            server.client.headers["Authorization"] = f"Bearer {token}"
            for person in PEOPLE:
                server.post("/principals", person)
            for view, width in VIEWS:
                page = _open(browser, server.console_url, view, width)
                paths_by_page = {
                    "signin": "/signin",
                    "signin-refused": server.sign_in_at_provider(page),
                    "verdict-link": verdict,
                }
                _take(page, folder, view, paths_by_page)
                page = _open(browser, server.console_url, view, width)
                _sign_in(page, token)
                _commit(page)
                _preview(page, folder, view, pages["waiver-new"])
                _take(page, folder, view, pages)
            browser.close()


def _take(page: Page, folder: Path, view: str, pages: Mapping[str, str]) -> None:
    """Write a file for each page, and close the browser's window."""
    for name, path in pages.items():
        page.goto(path)
        page.wait_for_timeout(200)
        page.screenshot(path=folder / f"{name}-{view}.png")
    page.context.close()


def _commit(page: Page) -> None:
    """Add a file in a folder, once."""
    page.goto("/repositories/web/new?at=main")
    page.get_by_label("Path").fill(FILE)
    page.get_by_label("Content").fill("LIMIT = 20\n")
    page.get_by_label("Message").fill("Limit the list to 20 entries")
    page.get_by_role("button", name="Commit").click()
    page.wait_for_load_state()


def _preview(page: Page, folder: Path, view: str, path: str) -> None:
    """Write a file of a waiver's preview."""
    page.goto(path)
    page.get_by_label("Reason").fill("The vulnerable function is never called.")
    page.get_by_role("button", name="Preview").click()
    page.locator("#preview").scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    page.screenshot(path=folder / f"waiver-preview-{view}.png")


def _open(browser: Browser, url: str, view: str, width: int) -> Page:
    """A page of the width in the view's colours."""
    scheme: Literal["dark", "light"] = "dark" if view == "dark" else "light"
    viewport = ViewportSize(width=width, height=HEIGHT)
    return browser.new_context(base_url=url, color_scheme=scheme, viewport=viewport).new_page()


def _sign_in(page: Page, token: str) -> None:
    page.goto("/signin")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console")
