"""Live pages in a real browser: they follow what happens, and lead to the sign-in when their session has ended."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Route, expect
from tests.scenarios.console_site import Site
from tests.scenarios.watched_browser import (
    OpenPage,
    WatchedBrowser,
)

from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Role
from dockgate.shared.timestamps import format_time

pytestmark = [pytest.mark.real, pytest.mark.long]


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
    services = page.get_by_role("heading", name="Services")
    texts, services_box = items.all_inner_texts(), services.bounding_box()
    waiver = {"owner": "admin", "reason": "soon over", "vulnerability": "CVE-2026-4242", "until": _format_day(2)}
    site.server.post("/waivers", waiver)
    show = page.locator("#queue").get_by_role("button", name="1 new: show")
    expect(show).to_be_visible(timeout=15_000)
    assert (heading.inner_text(), heading.bounding_box(), items.all_inner_texts()) == (title, box, texts)
    site.server.post("/pipelines/slow/executions", {})  # it waits
    show_execution = page.locator("#now").get_by_role("button", name="1 new: show")
    expect(show_execution).to_be_visible(timeout=15_000)
    assert services.bounding_box() == services_box
    show_execution.click()
    expect(show_execution).to_have_count(0)
    expect(page.get_by_role("heading", name="Under way")).to_be_focused()
    show.click()
    expect(items).to_have_count(len(texts) + 1)
    expect(show).to_have_count(0)
    expect(heading).to_be_focused()
    counts = [page.locator(f"#queue-count-{menu}") for menu in ("rail", "menu")]
    for count in counts:
        expect(count).to_contain_text(f", {heading.inner_text()}")
    page.goto("/settings")
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
        page.goto("/pipelines")


def test_a_page_keeps_its_content_while_the_server_is_busy(
    open_page: OpenPage, site: Site, chromium: WatchedBrowser
) -> None:
    """It asks again: for its stream after half a minute, for its content at the next event. Not live, it says so."""
    chromium.expect("503")
    page = open_page("/signin", is_shared=False)
    page.clock.install()
    page.route("**/live?*", lambda route: route.fulfill(status=503, json={"error": "busy"}), times=1)
    with page.expect_response("**/live?*"):
        page.goto("/pipelines")
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
    page = open_page("/pipelines?sort=name", is_shared=False)
    expect(page.locator("#list")).to_be_visible()
    page.context.clear_cookies()
    site.server.store.event_log.record([_make_event("ended")])
    expect(page).to_have_url(f"{site.server.console_url}/signin?to=%2Fpipelines%3Fsort%3Dname", timeout=15_000)


def test_a_form_whose_session_has_ended_is_filled_in_again_and_not_sent(
    open_page: OpenPage, site: Site, chromium: WatchedBrowser
) -> None:
    chromium.expect("401")
    site.server.client.put("/policies/kept", content="max_findings: {LOW: 9}\n").raise_for_status()
    page = open_page("/policies/kept", is_shared=False)
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
    page.goto(f"{site.server.console_url}/policies/kept")
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
    page = open_page("/signin", is_shared=False)

    def end_session(route: Route) -> None:
        page.context.clear_cookies()
        route.fulfill(content_type="text/event-stream", body="retry: 100\n\n")

    page.route("**/live?*", end_session, times=1)
    page.goto("/pipelines")
    expect(page).to_have_url(f"{site.server.console_url}/signin?to=%2Fpipelines", timeout=15_000)


def test_the_page_of_a_collection_follows_it_to_its_end(open_page: OpenPage, site: Site) -> None:
    site.server.post("/gc")
    page = open_page("/gc")
    expect(page.locator("#runs")).to_contain_text("Succeeded", timeout=30_000)


def _make_event(name: str) -> NewEvent:
    """An event of now: a page whose stream has not begun when it is recorded is refreshed by the event's time."""
    return NewEvent(
        f"test/{name}",
        "dockgate",
        "service.at_risk",
        EventSubject.parse("pipeline web"),
        format_time(datetime.now(UTC)),
        {},
    )
