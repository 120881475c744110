"""The console in a real browser: accessible, whole on a phone, without faults of its content policy, and live."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from tests.scenarios.console_site import Site
from tests.scenarios.planned_images import advisory
from tests.scenarios.server import ServerSystem

from dockgate.events.envelope import NewEvent
from dockgate.identity.model import Role
from dockgate.vulnerabilities.model import Severity

pytestmark = [pytest.mark.real, pytest.mark.long]

CHROMIUM = "/usr/bin/chromium"
CRITICAL = advisory("critical-fixed-0", Severity.CRITICAL, "2").id
START = (
    *("/", "/pipelines", "/images", "/running", "/repositories", "/policies", "/waivers", "/waivers/new"),
    *("/vulnerabilities", f"/vulnerabilities/{CRITICAL}", "/packages/critical-fixed-0", "/images/r/api/app:latest"),
    *("/pipelines/web/definition", "/new/pipeline?repository=web&service=web", "/vulnerabilities/CVE-1999-1"),
    *("/advisories", "/events", "/events/rules", "/people", "/audit", "/settings", "/styleguide", "/search?q=api"),
)
# Pages of one walk: the first of each kind are reached long before.
MAX_PAGES = 70
RUN_AXE = """
    options => axe.run(document, options).then(
        results => results.violations.map(fault => `${fault.id}: ${fault.nodes[0].html.slice(0, 200)}`))
"""
# The scheme, the width in pixels, and what axe looks for: {} for everything, None for nothing. Another scheme has other
# contrasts; a narrow window has other elements.
CONTRAST: dict[str, object] = {"runOnly": ["color-contrast"]}
LOOKS: tuple[tuple[str, int, dict[str, object] | None], ...] = (
    ("light", 1440, {}),
    ("dark", 1440, CONTRAST),
    ("dark", 768, None),
    ("dark", 360, CONTRAST),
    ("light", 360, {}),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def chromium(site: Site) -> Iterator[Browser]:
    """The browser, begun after the server: it runs an event loop in this thread, in which dbos cannot begin."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def _open(chromium: Browser, site: Site, *, scheme: str = "light", width: int = 1440, scripts: bool = True) -> Page:
    """A page that has signed in."""
    context = chromium.new_context(
        base_url=site.server.url,
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        java_script_enabled=scripts,
    )
    page = context.new_page()
    page.goto("/signin")
    page.get_by_label("Token").fill(site.tokens[Role.ADMIN])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.server.url}/")
    return page


def _walk(page: Page) -> Iterator[str]:
    """Open every page that links lead to."""
    waiting, seen = list(START), set(START)
    for _ in range(MAX_PAGES):
        if not waiting:
            return
        path = waiting.pop(0)
        answer = page.goto(path)
        assert answer is not None
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        yield path
        for link in page.locator("a[href^='/']:not([download])").evaluate_all(
            "links => links.map(link => link.getAttribute('href'))"
        ):
            target = link.partition("#")[0]
            if target not in seen and not target.startswith(("/api", "/static")) and not target.endswith("/raw"):
                seen.add(target)
                waiting.append(target)


def test_every_page_is_accessible_and_fits_its_screen(chromium: Browser, site: Site) -> None:
    """Each page is opened once; then the scheme and the width of its window change."""
    page = _open(chromium, site)
    messages: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            messages.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: messages.append(f"{page.url}: {error}"))
    faults, count = [], 0
    for path in _walk(page):
        count += 1
        page.evaluate(Axe().axe_script)
        for scheme, width, options in LOOKS:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 900})
            faults += [f"{path}: {scheme}, {width} px: {fault}" for fault in _faults(page, options)]
    assert not faults, "\n".join(faults[:20])
    assert not messages, "\n".join(messages[:20])
    assert count > 40
    page.context.close()


def _faults(page: Page, options: dict[str, object] | None) -> Iterator[str]:
    """What axe finds, if it is to look, and whether the page is wider than its window."""
    if options is not None:
        yield from page.evaluate(RUN_AXE, {"resultTypes": ["violations"], **options})
    excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if excess > 0:
        yield f"{excess} pixels too wide"


def test_a_page_follows_what_happens_and_keeps_the_focus(chromium: Browser, site: Site) -> None:
    page = _open(chromium, site)
    page.goto(f"/executions/{site.waiting}")
    expect(page.locator("#live .answer")).to_contain_text("Waiting")
    page.locator("details > summary").last.click()
    reason = page.get_by_label("Reason").last
    reason.fill("half a sentence")
    site.server.post(f"/executions/{site.waiting}/stop", {"reason": "no longer needed"})
    event = NewEvent("test/1", "dockgate", "service.at_risk", "service web", "2026-11-28T12:00:00.000Z", {})
    site.server.store.event_log.record([event])
    expect(page.locator("#live .answer")).to_contain_text("no longer needed", timeout=15_000)
    expect(reason).to_be_focused()
    expect(reason).to_have_value("half a sentence")
    page.context.close()


def test_without_scripts_a_person_reads_filters_and_decides(chromium: Browser, site: Site) -> None:
    page = _open(chromium, site, scripts=False)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Images").click()
    page.get_by_role("navigation", name="Verdict").get_by_role("link", name="Rejected").click()
    page.get_by_label("Image repository").fill("api/*")
    page.get_by_role("button", name="Filter").click()
    tags = page.locator("tbody tr").all_inner_texts()
    assert tags
    assert [tag for tag in tags if "api/app" not in tag or "Rejected" not in tag] == []
    page.goto(f"/executions/{site.execution}")
    page.get_by_role("link", name="Open verdict").click()
    page.locator("main td").get_by_role("link", name=re.compile("Waive")).first.click()
    page.get_by_label("Until", exact=False).first.fill("2999-01-01")
    page.get_by_label("Reason").fill("It is never called.")
    page.get_by_role("button", name="Save waiver").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("w-")
    page.context.close()


def test_a_person_works_by_keyboard_alone(chromium: Browser, site: Site) -> None:
    page = _open(chromium, site)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type(site.execution)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/executions/{site.execution}$"))
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile("/pipelines$"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("main tbody tr a").nth(1)).not_to_be_focused()
    assert page.evaluate("document.activeElement.closest('tr') !== null")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/pipelines/"))
    page.context.close()


def test_a_text_is_checked_while_it_is_typed(chromium: Browser, site: Site) -> None:
    page = _open(chromium, site)
    page.goto("/pipelines/web/definition")
    text = page.get_by_label("Stages and actions, as YAML")
    written = text.input_value()
    text.fill(written.replace("type: build", "type: bild"))
    expect(page.locator("#check")).to_contain_text("Not valid.", timeout=15_000)
    text.fill(written)
    expect(page.locator("#check")).to_contain_text("Valid Pipeline.", timeout=15_000)
    expect(text).to_be_focused()
    page.context.close()


def test_shortcuts_do_nothing_when_they_are_off(chromium: Browser, site: Site) -> None:
    page = _open(chromium, site)
    page.goto("/settings")
    page.get_by_label("Single-key shortcuts").select_option("Off")
    page.locator("form[action='/theme'] button").click()
    expect(page.locator("html[data-keys='off']")).to_be_attached()
    page.locator("h1").click()
    page.keyboard.press("/")
    expect(page.locator("#search")).not_to_be_focused()
    page.context.close()


def test_a_command_is_copied_exactly(chromium: Browser, site: Site) -> None:
    page = _open(chromium, site)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/executions/{site.execution}")
    page.get_by_role("link", name="Open verdict").click()
    command = page.locator(".command pre").first
    text = command.inner_text()
    page.locator(".command .copy").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.context.close()
