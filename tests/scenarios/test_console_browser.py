"""The console in a real browser: accessible, whole on a phone, without faults of its content policy, and live."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Page, Route, StorageState, expect
from tests.scenarios.accessibility import list_faults
from tests.scenarios.console_site import Site
from tests.scenarios.console_walk import walk_pages
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.provider_site import ProviderSite
from tests.scenarios.watched_browser import WatchedBrowser, check_no_faults, open_address, run_watched_chromium

from dockgate.events.envelope import NewEvent
from dockgate.identity.model import Role
from dockgate.shared.timestamps import format_time

pytestmark = [pytest.mark.real, pytest.mark.long]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ProviderSite(Path(tmp_path_factory.mktemp("console"))).server as server:
        yield Site(server)


@pytest.fixture(scope="module")
def chromium(site: Site) -> Iterator[WatchedBrowser]:
    with run_watched_chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _no_faults(chromium: WatchedBrowser) -> Iterator[None]:
    """No test of this module makes a page complain: of its content policy, or of anything else."""
    with check_no_faults(chromium):
        yield


@pytest.fixture(scope="module")
def session(chromium: WatchedBrowser, site: Site) -> StorageState:
    """The cookies of an administrator who has signed in."""
    context = chromium.make_context(base_url=site.server.console_url)
    page = context.new_page()
    open_address(page, "/signin")
    page.get_by_label("Token").fill(site.tokens[Role.ADMIN])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.server.console_url}/")
    state = context.storage_state()
    context.close()
    return state


class OpenPage(Protocol):
    def __call__(self, path: str, *, scripts: bool = True, timezone: str | None = None) -> Page: ...


@pytest.fixture
def open_page(chromium: WatchedBrowser, site: Site, session: StorageState) -> Iterator[OpenPage]:
    """Opens a page as that administrator, in a window of its own."""
    with ExitStack() as contexts:

        def open_page(path: str, *, scripts: bool = True, timezone: str | None = None) -> Page:
            context = contexts.enter_context(
                chromium.make_context(
                    base_url=site.server.console_url,
                    storage_state=session,
                    viewport={"width": 1440, "height": 900},
                    java_script_enabled=scripts,
                    timezone_id=timezone,
                )
            )
            page = context.new_page()
            open_address(page, path)
            return page

        yield open_page


def test_every_page_is_accessible_and_fits_its_screen(open_page: OpenPage) -> None:
    """Each page is opened once; then the scheme and the width of its window change."""
    page = open_page("/")
    faults: list[str] = []
    count = 0
    for _ in walk_pages(page):
        count += 1
        faults += list_faults(page)
        if page.locator(".primary").count() > 1:
            faults.append(f"{page.url}: more than one primary action")
    assert not faults, "\n".join(faults[:20])
    assert count > 40


LOADING = """() => new Promise(done => {
    let moved = 0
    const observer = new PerformanceObserver(list => list.getEntries().forEach(entry => { moved += entry.value }))
    observer.observe({ type: "layout-shift", buffered: true })
    const loads = ["navigation", "resource"].flatMap(type => performance.getEntriesByType(type))
    const bytes = loads.reduce((sum, load) => sum + load.transferSize, 0)
    requestAnimationFrame(() => requestAnimationFrame(() => done([bytes, moved])))
})"""


@pytest.mark.parametrize(
    "path", ["/", "/images", "/vulnerabilities", "/events", "/executions/api-1", "/policies/default"]
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
    open_address(page, site.server.post(f"/verdicts/{verdict}/link", {})["url"])
    examine("Rejected")
    chromium.expect("status of 403")
    open_address(page, f"{site.server.console_url}/signin/provider/return?state=x&code=y")
    examine("You are not signed in")
    open_address(page, f"{site.server.console_url}/signin")
    expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()
    examine("Sign in")
    page.get_by_label("Token").fill("dgt_wrong")
    chromium.expect("status of 422")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That token is not valid")
    examine("Sign in")
    assert not faults, "\n".join(faults[:20])
    context.close()


def test_a_page_follows_what_happens_and_keeps_the_focus(open_page: OpenPage, site: Site) -> None:
    page = open_page(f"/executions/{site.waiting}")
    expect(page.locator("#live .answer")).to_contain_text("Waiting")
    page.locator("details > summary").last.click()
    reason = page.get_by_label("Reason").last
    reason.fill("half a sentence")
    site.server.post(f"/executions/{site.waiting}/stop", {"reason": "no longer needed"})
    expect(page.locator("#live .answer")).to_contain_text("no longer needed", timeout=15_000)
    expect(reason).to_be_focused()
    expect(reason).to_have_value("half a sentence")


def test_what_needs_a_person_stays_in_its_place_until_they_ask_for_what_is_new(open_page: OpenPage, site: Site) -> None:
    page = open_page("/")
    heading, items = page.locator("#queue h1"), page.locator("#queue .queue li")
    title, box = heading.inner_text(), heading.bounding_box()
    texts = items.all_inner_texts()
    waiver = {"owner": "admin", "reason": "soon over", "vulnerability": "CVE-2026-4242", "until": _format_day(2)}
    site.server.post("/waivers", waiver)
    show = page.get_by_role("button", name="1 new: show")
    expect(show).to_be_visible(timeout=15_000)
    assert (heading.inner_text(), heading.bounding_box(), items.all_inner_texts()) == (title, box, texts)
    show.click()
    expect(items).to_have_count(len(texts) + 1)
    expect(show).to_have_count(0)
    expect(heading).to_be_focused()
    counts = [page.locator(f"#queue-count-{menu}") for menu in ("rail", "menu")]
    for count in counts:
        expect(count).to_contain_text(f", {heading.inner_text()}")
    open_address(page, "/settings")
    for count in counts:
        expect(count).to_contain_text(re.compile(", [0-9]+ things? needs? you"))


def _format_day(days: int) -> str:
    """The day so many days from now."""
    return format_time(datetime.now(UTC) + timedelta(days=days))[:10]


def test_what_a_person_opened_stays_open_while_the_page_follows_what_happens(open_page: OpenPage, site: Site) -> None:
    page = open_page("/events")
    newest_row = page.locator("#list tr[id]").first
    open_details = page.locator(f"#{newest_row.get_attribute('id')} details")
    open_details.locator("summary").click()
    expect(open_details).to_have_attribute("open", "")
    site.server.post("/pipelines/api/executions", {})
    expect(newest_row.locator("details")).not_to_have_attribute("open", "", timeout=15_000)  # it is another one now
    expect(open_details).to_have_attribute("open", "")


@pytest.mark.parametrize("script", ["hx-csp", "hx-sse"])
def test_a_page_is_live_when_a_script_comes_late(open_page: OpenPage, script: str) -> None:
    """htmx begins when the page is complete, not before its extensions are there."""
    page = open_page("/signin")

    def answer_late(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route(f"**/{script}.min.js*", answer_late)
    with page.expect_request("**/live?*", timeout=15_000):
        open_address(page, "/pipelines")


def test_a_page_keeps_its_content_while_the_server_is_busy(
    open_page: OpenPage, site: Site, chromium: WatchedBrowser
) -> None:
    """It asks again: for its stream after half a minute, for its content at the next event. Not live, it says so."""
    chromium.expect("503")
    page = open_page("/signin")
    page.clock.install()
    page.route("**/live?*", lambda route: route.fulfill(status=503, json={"error": "busy"}), times=1)
    with page.expect_response("**/live?*"):
        open_address(page, "/pipelines")
    pipeline = page.locator("#list").get_by_role("link", name="web", exact=True).first
    expect(pipeline).to_be_visible()
    not_live = re.compile(r"^Not live since \d\d:\d\d, reconnecting$")
    expect(page.get_by_role("status")).to_have_text(not_live)
    page.route("**/pipelines", lambda route: route.fulfill(status=503, json={"error": "busy"}), times=1)
    with page.expect_response(lambda answer: answer.url.endswith("/pipelines") and answer.status == 503):
        with page.expect_response(lambda answer: "/live?" in answer.url and answer.ok):
            page.clock.fast_forward(31_000)
        expect(page.get_by_role("status")).to_be_empty()
        site.server.store.event_log.record([_make_event("busy/1")])
    expect(pipeline).to_be_visible()
    with page.expect_response(lambda answer: answer.url.endswith("/pipelines") and answer.ok):
        page.clock.fast_forward(41_000)  # the stream is silent
        expect(page.get_by_role("status")).to_have_text(not_live)
        site.server.store.event_log.record([_make_event("busy/2")])
    expect(page.get_by_role("status")).to_be_empty()
    expect(pipeline).to_be_visible()


def test_a_page_whose_session_has_ended_leads_to_the_page_to_sign_in(
    open_page: OpenPage, site: Site, chromium: WatchedBrowser
) -> None:
    chromium.expect("401")
    page = open_page("/pipelines?sort=name")
    expect(page.locator("#list")).to_be_visible()
    page.context.clear_cookies()
    site.server.store.event_log.record([_make_event("ended")])
    expect(page).to_have_url(f"{site.server.console_url}/signin?to=%2Fpipelines%3Fsort%3Dname", timeout=15_000)


def test_a_form_whose_session_has_ended_is_filled_in_again_and_not_sent(
    open_page: OpenPage, site: Site, chromium: WatchedBrowser
) -> None:
    chromium.expect("401")
    site.server.client.put("/policies/kept", content="max_findings: {LOW: 9}\n").raise_for_status()
    page = open_page("/policies/kept")
    page.get_by_label("Rules, as YAML").fill("max_findings: {LOW: 8}")
    page.get_by_label("Comment").fill("typed comment")
    page.context.clear_cookies()
    page.get_by_label("Rules, as YAML").press("End")
    page.keyboard.type(" ")
    expect(page.locator("#check")).to_contain_text("Not checked: your session has ended.", timeout=15_000)
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    page.get_by_role("link", name="Sign in and go back").click()
    page.get_by_label("Token").fill(site.tokens[Role.ADMIN])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.server.console_url}/policies/kept")
    expect(page.get_by_label("Rules, as YAML")).to_have_value("max_findings: {LOW: 8} ")
    expect(page.get_by_label("Comment")).to_have_value("typed comment")
    expect(page.get_by_text("Your session had ended.")).to_be_visible()
    assert site.server.get("/policies/kept")["version"] == 1
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("button", name="Save as version 3")).to_be_visible()
    open_address(page, f"{site.server.console_url}/policies/kept")
    expect(page.get_by_label("Comment")).to_have_value("")
    page.get_by_label("Comment").fill("of one person alone")
    page.context.clear_cookies()
    page.get_by_role("button", name="Save as version 3").click()
    page.get_by_role("link", name="Sign in and go back").click()
    page.get_by_label("Token").fill(site.tokens[Role.SECURITY])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Save as version 3")).to_be_visible()
    expect(page.get_by_label("Comment")).to_have_value("")


def test_a_page_whose_stream_is_refused_leads_to_the_page_to_sign_in(
    open_page: OpenPage, site: Site, chromium: WatchedBrowser
) -> None:
    """Streams end after a while; the next one finds that the session has ended."""
    chromium.expect("401")
    page = open_page("/signin")

    def end_session(route: Route) -> None:
        page.context.clear_cookies()
        route.fulfill(content_type="text/event-stream", body="retry: 100\n\n")

    page.route("**/live?*", end_session, times=1)
    open_address(page, "/pipelines")
    expect(page).to_have_url(f"{site.server.console_url}/signin?to=%2Fpipelines", timeout=15_000)


def _make_event(name: str) -> NewEvent:
    """An event of now: a page whose stream has not begun when it is recorded is refreshed by the event's time."""
    return NewEvent(f"test/{name}", "dockgate", "service.at_risk", "pipeline web", format_time(datetime.now(UTC)), {})


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


def test_without_scripts_a_person_reads_filters_and_decides(open_page: OpenPage, site: Site) -> None:
    page = open_page("/", scripts=False)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Images").click()
    page.get_by_role("navigation", name="Verdict").get_by_role("link", name="Rejected").click()
    page.get_by_label("Image repository").fill("api/*")
    page.get_by_role("button", name="Filter").click()
    tags = page.locator("tbody tr").all_inner_texts()
    assert tags
    assert [tag for tag in tags if "api/app" not in tag or "Rejected" not in tag] == []
    open_address(page, f"/executions/{site.execution}")
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
    page = open_page("/settings")
    page.get_by_label("Single-key shortcuts").select_option("Off")
    page.locator("form[action='/theme'] button").click()
    expect(page.locator("html[data-keys='off']")).to_be_attached()
    page.locator("h1").click()
    page.keyboard.press("/")
    expect(page.locator("#search")).not_to_be_focused()


def test_a_command_is_copied_exactly(open_page: OpenPage, site: Site) -> None:
    page = open_page("/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_address(page, f"/executions/{site.execution}")
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
