"""Take the screenshots of docs/console: a server with invented images, its pages in light and dark and on a phone.

python scripts/screenshots.py [FOLDER]
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright  # noqa: E402
from tests.scenarios.defects import PlannedFindings  # noqa: E402
from tests.scenarios.server import ServerSystem  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
# Height of a screenshot in pixels; longer pages are cut.
HEIGHT = 860
VIEWS = (("light", 1280), ("dark", 1280), ("phone", 360))


def main(folder: Path) -> None:
    """Write a file for each page and view."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data, ServerSystem(Path(data)) as server:
        pages = _fill(server)
        token = server.post("/principals", {"name": "ada", "roles": ["admin"], "email": "ada@example.org"})["token"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for view, width in VIEWS:
                page = _sign_in(browser, server.url, token, view, width)
                for name, path in pages.items():
                    page.goto(path)
                    page.wait_for_timeout(200)
                    page.screenshot(path=folder / f"{name}-{view}.png")
                page.context.close()
            browser.close()


def _fill(server: ServerSystem) -> dict[str, str]:
    """Run pipelines of each outcome. Return the pages by the names of their screenshots."""
    web = server.image("web", PlannedFindings({}, {"LOW": 3, "MEDIUM": 1}))
    server.deployed(web)
    api = server.image("api", PlannedFindings({"CRITICAL": 1, "HIGH": 2, "LOW": 4}, {"MEDIUM": 2}))
    rejected = server.approval(api)
    server.scanned(api)
    server.answer(rejected)
    jobs = server.image("jobs", PlannedFindings({}, status="UNREAD"))
    undetermined = server.approval(jobs)
    server.scanned(jobs)
    server.answer(undetermined)
    server.approval(server.image("shop", PlannedFindings({})))
    waiver = {"owner": "ana", "reason": "Never called.", "vulnerability": "CVE-2026-1", "until": "2027-06-30"}
    server.post("/waivers", waiver)
    server.advisory_appears(web)
    server.marked_at_risk(web)
    verdict = server.get(f"/images/{api}")["verdicts"][0]["digest"]
    return {
        "overview": "/",
        "pipelines": "/pipelines",
        "pipeline": "/pipelines/web",
        "execution": f"/executions/{rejected}",
        "log": "/executions/web-1/Build/Build/1",
        "verdict": f"/verdicts/{verdict}",
        "images": "/images",
        "image": f"/images/{api}",
        "running": "/running",
        "service": "/running/web",
        "repositories": "/repositories",
        "repository": "/repositories/web",
        "file": "/repositories/web/files/Dockerfile?at=main",
        "file-edit": "/repositories/web/edit/Dockerfile?at=main",
        "policies": "/policies",
        "policy": "/policies/default",
        "waivers": "/waivers",
        "waiver-new": "/waivers/new",
        "advisories": "/advisories",
        "people": "/people",
        "audit": "/audit",
        "settings": "/settings",
        "styleguide": "/styleguide",
    }


def _sign_in(browser: Browser, url: str, token: str, view: str, width: int) -> Page:
    """A page of the width in the view's colours, signed in."""
    scheme: Literal["dark", "light"] = "dark" if view == "dark" else "light"
    viewport = ViewportSize(width=width, height=HEIGHT)
    context = browser.new_context(base_url=url, color_scheme=scheme, viewport=viewport)
    page = context.new_page()
    page.goto("/signin")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "console")
