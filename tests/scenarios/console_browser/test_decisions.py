"""Decisions of a person in a real browser: only a pressed button decides."""

import pytest
from playwright.sync_api import Page, expect
from tests.parts import wait_until
from tests.scenarios.console_site import Site
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.keyboard import Keyboard
from tests.scenarios.live import PIPELINE
from tests.scenarios.watched_browser import OpenPage

pytestmark = [pytest.mark.real, pytest.mark.long]

APPROVERS = "\n        approvers: {count: 1, roles: [admin], exclude_committer: false}\n  - name: Deploy"


def request_vote(site: Site, name: str) -> str:
    """An execution that waits for an administrator. Its image is approved."""
    image = site.server.plan_image(name, PlannedFindings({}))
    text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
    site.server.apply(text.replace("\n  - name: Deploy", APPROVERS))
    site.server.push(name, author="Ben <ben@example.org>", message="Change")
    execution: str = site.server.request_approval(image)
    site.server.end_scan(image)
    wait_until(lambda: site.server.get(f"/images/{image}")["verdicts"])
    return execution


def list_votes(site: Site, execution: str) -> list[tuple[bool, str]]:
    path = f"/approvals/{execution}/ContainerVulnerabilityAssessment/Approval/1/votes"
    return [(vote["is_yes"], vote["reason"]) for vote in site.server.get(path)]


def press_enter_in_reason(page: Page) -> None:
    page.get_by_label("Reason").first.fill("This commit breaks the export")
    page.keyboard.press("Enter")
    # Enter would have left the page before the next one is open.
    page.reload()


@pytest.mark.parametrize("scripts", [True, False])
def test_enter_in_the_reason_of_a_rejection_does_not_approve(open_page: OpenPage, site: Site, *, scripts: bool) -> None:
    execution = request_vote(site, f"entered-{scripts}".lower())
    page = open_page(f"/executions/{execution}", scripts=scripts)
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    press_enter_in_reason(page)
    if scripts:  # after going back the browser shows the page as it was, and its buttons can be pressed again
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
        press_enter_in_reason(page)
    assert "POST" not in methods
    assert list_votes(site, execution) == []
    page.get_by_label("Reason").first.fill("This commit breaks the export")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator("#live .answer")).to_contain_text("This commit breaks the export")
    assert list_votes(site, execution) == [(False, "This commit breaks the export")]


def test_a_live_page_offers_no_second_press_while_a_form_is_on_its_way(open_page: OpenPage, site: Site) -> None:
    execution = request_vote(site, "pressed-twice")
    page = open_page(f"/executions/{execution}")
    page.evaluate("addEventListener('submit', event => event.preventDefault())")  # as if the server took its time
    page.get_by_role("button", name="Approve", exact=True).click()
    buttons = page.locator("form[action$='/vote'] button:visible")
    expect(buttons).to_have_count(2)
    key = page.locator("form[action$='/vote'] [name=form_key]")
    sent_key = key.input_value()
    with page.expect_response(lambda response: response.url.endswith(execution)):
        page.evaluate("document.body.dispatchEvent(new Event('refresh', {bubbles: true}))")
    # When the second answer comes, the first one was shown, or was not.
    with page.expect_response(lambda response: response.url.endswith(execution)):
        page.evaluate("document.body.dispatchEvent(new Event('refresh', {bubbles: true}))")
    for button in buttons.all():
        expect(button).to_be_disabled()
    assert key.input_value() == sent_key
    # Once the page is shown again, as after going back, it is live.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow'))")
    page.evaluate("document.body.dispatchEvent(new Event('refresh', {bubbles: true}))")
    expect(key).not_to_have_value(sent_key)


@pytest.mark.parametrize("scripts", [True, False])
def test_what_is_removed_is_confirmed_by_keyboard(open_page: OpenPage, site: Site, *, scripts: bool) -> None:
    site.server.apply("kind: Policy\nname: brief\nrules:\n  max_findings: {CRITICAL: 0}\n")
    site.server.apply("kind: PolicyAssignment\nname: batch\npolicy: brief\nrepositories: ['batch/*']\n")
    ada = Keyboard(open_page("/policies#assignments", scripts=scripts))
    ada.reach("Remove batch")  # its summary
    ada.page.keyboard.press("Enter")
    ada.press("Remove batch", "brief")
    ada.reach("Remove brief")
    ada.page.keyboard.press("Enter")
    ada.press("Remove brief")
    ada.expect_text("All repositories are judged by default")
    assert "brief" not in [policy["name"] for policy in site.server.get("/policies")]
    assert site.server.get("/policy-assignments") == []
