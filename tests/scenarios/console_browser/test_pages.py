"""Pages of the console in a real browser: accessible, whole on a phone, and used without scripts or mouse."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.reports.test_exposure import make_exposure
from tests.scenarios.accessibility import list_faults
from tests.scenarios.console_site import Site
from tests.scenarios.console_walk import list_console_faults
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.watched_browser import (
    OpenPage,
    WatchedBrowser,
)

from dockgate.reports import _exposure_html

pytestmark = [pytest.mark.real, pytest.mark.long]


def test_every_page_is_accessible_and_fits_its_screen(open_page: OpenPage) -> None:
    """`make slow` looks at each page in both looks, and in windows of all widths."""
    faults = list_console_faults(open_page("/"), is_thorough=False)
    assert not faults, "\n".join(faults[:20])


LOADING = """() => new Promise(done => {
    let moved = 0
    const observer = new PerformanceObserver(list => list.getEntries().forEach(entry => { moved += entry.value }))
    observer.observe({ type: "layout-shift", buffered: true })
    const loads = ["navigation", "resource"].flatMap(type => performance.getEntriesByType(type))
    const bytes = loads.reduce((sum, load) => sum + load.transferSize, 0)
    requestAnimationFrame(() => requestAnimationFrame(() => done([bytes, moved])))
})"""


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/executions/api-1",
        *(pytest.param(path, marks=pytest.mark.slow) for path in ("/images", "/vulnerabilities", "/events")),
        "/policies/default",
    ],
)
def test_a_first_load_is_small_and_nothing_moves(open_page: OpenPage, path: str) -> None:
    page = open_page(path, timezone="Asia/Kathmandu")
    bytes_loaded, layout_shift = page.evaluate(LOADING)
    assert 5_000 < bytes_loaded < 150 * 1024
    assert layout_shift == 0


def test_pages_without_a_session_are_accessible_and_fit_their_screen(chromium: WatchedBrowser, site: Site) -> None:
    """What a person sees before signing in, whether that succeeds or not, and a verdict by a signed link."""
    context = chromium.make_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    faults: list[str] = []

    def examine(heading: str) -> None:
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        faults.extend(list_faults(page))

    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    page.goto(site.server.post(f"/verdicts/{verdict}/link", {})["url"])
    examine("Rejected")
    chromium.expect("status of 403")
    page.goto(f"{site.server.console_url}/signin/provider/return?state=x&code=y")
    examine("You are not signed in")
    page.goto(f"{site.server.console_url}/signin")
    expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()
    examine("Sign in")
    page.get_by_label("Token").fill("dgt_wrong")
    chromium.expect("status of 422")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That token is not valid")
    examine("Sign in")
    assert not faults, "\n".join(faults[:20])
    context.close()


def test_a_person_stops_retries_and_rejects_an_execution(open_page: OpenPage, site: Site) -> None:
    execution = site.server.request_approval(site.server.plan_image("stopped", PlannedFindings({})))
    page = open_page(f"/executions/{execution}")
    answer = page.locator("#live .answer").first
    page.get_by_text("Stop it").click()
    page.get_by_label("Reason").last.fill("wrong commit")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(answer).to_contain_text("wrong commit")
    page.get_by_role("button", name="Retry what failed").click()
    expect(answer).to_contain_text("Waiting", timeout=15_000)
    page.get_by_text("Reject it now", exact=True).click()
    page.get_by_label("Reason").first.fill("not this one")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(answer).to_contain_text("not this one", timeout=15_000)
    calls = {(entry["call"], entry["who"], entry["detail"]) for entry in site.server.get("/audit?limit=20")}
    assert ("POST /executions/{execution_id}/stop", "ada", "stopped: wrong commit") in calls
    assert ("POST /approvals/{approval_id}/reject", "ada", "rejected: not this one") in calls


def test_a_form_may_be_sent_again_after_going_back_unless_it_names_what_it_changes(
    open_page: OpenPage, site: Site
) -> None:
    site.server.client.put("/policies/pressed", content="max_findings: {LOW: 9}\n").raise_for_status()
    for path, changed_actions in (
        ("/running/web", {"/running/web", "/running/web/restart"}),
        ("/policies/pressed", set()),
    ):
        page = open_page(path)
        before, after = (
            page.evaluate(
                """isPersisted => {
                    if (isPersisted) dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))
                    const keys = [...document.querySelectorAll("main form [name=form_key]")]
                    return Object.fromEntries(keys.map(key => [key.form.getAttribute("action"), key.value]))
                }""",
                is_persisted,
            )
            for is_persisted in (False, True)
        )
        assert before, path
        assert {action for action in before if before[action] != after[action]} == changed_actions


def test_without_scripts_a_person_reads_filters_and_decides(open_page: OpenPage, site: Site) -> None:
    page = open_page("/", scripts=False)
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


def test_a_person_works_by_keyboard_alone(open_page: OpenPage, site: Site) -> None:
    page = open_page("/")
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


def test_the_logs_of_an_execution_are_reached_by_brackets(open_page: OpenPage) -> None:
    page = open_page("/executions/web-1")
    page.keyboard.press("]")
    expect(page.locator(".log-link").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/Build/Build/1$"))
    page.keyboard.press("]")
    expect(page).to_have_url(re.compile("/Deploy/Deploy/1$"))
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile("/Build/Build/1$"))


def test_a_text_is_checked_while_it_is_typed(open_page: OpenPage) -> None:
    page = open_page("/pipelines/web/definition")
    text = page.get_by_label("Stages and actions, as YAML")
    text_value = text.input_value()
    text.fill(text_value.replace("type: build", "type: bild"))
    expect(page.locator("#check")).to_contain_text("Not valid.", timeout=15_000)
    text.fill(text_value)
    expect(page.locator("#check")).to_contain_text("Valid Pipeline.", timeout=15_000)
    expect(text).to_be_focused()


def test_shortcuts_do_nothing_when_they_are_off(open_page: OpenPage) -> None:
    page = open_page("/settings", is_shared=False)
    page.get_by_label("Single-key shortcuts").select_option("Off")
    page.locator("form[action='/theme'] button").click()
    expect(page.locator("html[data-keys='off']")).to_be_attached()
    page.locator("h1").click()
    page.keyboard.press("/")
    expect(page.locator("#search")).not_to_be_focused()


def test_every_word_of_a_link_is_underlined(open_page: OpenPage) -> None:
    """Names with hyphens are boxes of their own, to which the underline of the link around them does not extend."""
    page = open_page("/events")
    name = page.locator("main td a .whole").first
    expect(name).to_contain_text("-")
    lines = name.evaluate("name => [name, name.closest('a')].map(part => getComputedStyle(part).textDecorationLine)")
    assert lines == ["underline", "underline"]


def test_names_without_a_blank_fit_the_page_of_their_repository(open_page: OpenPage, site: Site) -> None:
    server, name = site.server, "W" * 250
    server.apply("kind: Repository\nname: long\n")
    files = {f"{name}.txt": name, f"{name}/{name}.txt": name}
    server.push("long", files=files, message=name * 2, author=f"{name} <{name}@example.org>")
    page = open_page("/repositories/long")
    faults = list(list_faults(page))
    page.get_by_role("link", name="W" * 50).first.click()
    faults += list_faults(page)
    page.goto(f"/repositories/long/files/{name}/{name}.txt?at=main")
    faults += list_faults(page)
    page.goto(f"/repositories/long/commits/{server.get('/repositories/long/commits')[0]['id']}")
    faults += list_faults(page)
    assert not faults, "\n".join(faults[:20])


def test_the_editor_of_a_policy_fits_its_page(open_page: OpenPage, site: Site) -> None:
    """The default policy, which the walk opens, has none: it is built in."""
    site.server.client.put("/policies/strict", content="max_findings:\n  CRITICAL: 0\n").raise_for_status()
    faults = list(list_faults(open_page("/policies/strict")))
    assert not faults, "\n".join(faults[:20])


def test_a_report_on_exposure_fits_its_window(chromium: WatchedBrowser, tmp_path: Path) -> None:
    exposure = make_exposure("registry.example.org/platform/a-package-with-a-long-name")
    (image,) = exposure["images"]
    (package,), (location,) = image["packages"], image["places"]
    image |= {"digest": f"sha256:{'9f3c2b17' * 8}", "pipelines": ["checkout-frontend", "checkout-backend"]}
    reason = "policy strict: the feed debian was last checked 60 days ago; it is stale after 7 days"
    image["services"] = [{"task_definition": "checkout-frontend:12", "cannot_judge": reason}]
    package |= {"version": "3.5.0-1~deb13u1", "fixed": "3.5.1-1+deb13u2", "until": "2026-11-20T09:00:00Z"}
    package |= {"ended_by": "a rebuild of the image", "vulnerability": "CVE-2026-308709"}
    location |= {"repository": "registry.example.org/platform/team/application", "tag": "release-2026.11.30-rc1"}
    path = tmp_path / "report.html"
    with path.open("w") as output:
        _exposure_html.write(exposure, output)
    page = chromium.make_context().new_page()
    page.goto(path.as_uri())
    for width in (1280, 768, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 1280:
            tables = "[...document.querySelectorAll('.wide')].map(table => table.scrollWidth - table.clientWidth)"
            assert page.evaluate(tables) == [0, 0]
    page.context.close()


def test_a_command_is_copied_exactly(open_page: OpenPage, site: Site) -> None:
    page = open_page("/", is_shared=False)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/executions/{site.execution}")
    page.get_by_role("link", name="Open verdict").click()
    command = page.locator(".command pre").first
    text = command.inner_text()
    page.locator(".command .copy").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_violations_of_the_content_security_policy_fail_the_test(chromium: WatchedBrowser, open_page: OpenPage) -> None:
    page = open_page("/")
    page.evaluate("""() => new Promise(done => {
        const image = new Image()
        image.onerror = done
        image.src = "http://127.0.0.1:9/other.png"
    })""")
    faults = chromium.take_faults()
    assert any("content policy: img-src forbids" in fault for fault in faults)
    page.evaluate("console.error('this too')")
    assert any("this too" in fault for fault in chromium.take_faults())
