"""The console's pages for every role, hostile text in them, and what people decide and change there."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from html import unescape
from pathlib import Path

import pytest
from tests.fakes.target import MemoryTarget
from tests.parts import wait_until
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.console_site import HOSTILE, Site
from tests.scenarios.page_links import MORE, START, Pages, fetch_linked_pages
from tests.scenarios.server import ServerSystem

from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Role
from dockgate.store.records import PushedImage
from dockgate.web.recent_calls import MAX_RECORDED, FailedAuthentications, RecentCalls

# Its tests share a server, and later ones change what earlier ones look at.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console")), sweep_seconds=3600) as server:
        yield Site(server)


@pytest.fixture(autouse=True)
def _no_failed_sign_ins(site: Site) -> None:
    site.server.app.state.failed_authentications = FailedAuthentications()
    site.server.app.state.recorded_calls = RecentCalls(MAX_RECORDED)


# --- pages ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(site: Site) -> Callable[[Role], Pages]:
    """The pages that a role is led to, fetched once."""

    @cache
    def fetch(role: Role) -> Pages:
        with Browser(site.server, site.tokens[role]) as browser:
            return fetch_linked_pages(
                browser,
                (*START, *MORE, f"/executions/{site.execution}", f"/images/{site.approved_image}", "/running/web"),
            )

    return fetch


# A role in between is shown in the suite by one of them.
BETWEEN = (Role.APPROVER, Role.SECURITY)
ROLES = [pytest.param(role, marks=pytest.mark.slow if role in BETWEEN else ()) for role in Role]


@pytest.mark.parametrize("role", ROLES)
def test_every_page_of_every_role_is_whole_and_offers_only_what_the_role_may_do(
    site: Site, pages: Callable[[Role], Pages], role: Role
) -> None:
    actions = set()
    for path, answer in pages(role):
        if answer.status_code == 403:
            assert path.partition("?")[0] in ("/people", "/audit", "/waivers/new", "/gc"), path
            continue
        assert answer.status_code in (200, 303), (path, answer.text)
        assert re.findall(r".{40}\bNone\b(?! [a-z]).{20}", answer.text, re.DOTALL) == [], path
        actions |= Forms(answer.text).actions - {"/signout", "/signin"}
    with Browser(site.server, site.tokens[role]) as browser:
        for action in sorted(actions):
            # An empty form is refused for its content, or does nothing yet; never for the permission.
            if (
                action in ("/theme", "/people", "/waivers/new")
                or action == "/running/web"
                or action.endswith(("/roles", "/vote"))
            ):
                assert browser.send_form(action).status_code != 403, action
    assert "/policies/default" in [path for path, _ in pages(role)]


def test_a_person_of_one_project_is_led_to_no_page_that_is_closed(site: Site) -> None:
    person = {"name": "kim", "roles": [], "project_roles": [{"role": "developer", "repositories": "api/*"}]}
    site.server.post("/principals", person)
    assignment = (
        "kind: PolicyAssignment\nname: {name}\npolicy: of-{name}\n"
        "repositories: [{name}/app, '{name}/*', 'other/{name}']\n"
    )
    waivers = {}
    for name in ("api", "web"):
        site.server.apply(f"kind: Policy\nname: of-{name}\nrules:\n  max_findings: {{CRITICAL: 0}}\n")
        site.server.apply(assignment.format(name=name))
        waiver = {"owner": f"owner-of-{name}", "reason": "x", "vulnerability": "CVE-2026-1", "repository": f"{name}/*"}
        waivers[name] = site.server.post("/waivers", {**waiver, "until": "2999-01-01"})["waiver"]["id"]
    paths = set()
    with Browser(site.server, site.issue_token("kim")) as browser:
        for path, answer in fetch_linked_pages(browser, ("/",), limit=2):
            paths.add(path)
            assert answer.status_code in (200, 303), (path, answer.text)
            for name in (site.approved_image, site.approved_image[7:19], "web/app", "/running/web", "of-web", "other/"):
                assert name not in answer.text, path
        for path in ("/policies/of-web", f"/waivers/{waivers['web']}"):
            assert browser.get(path).status_code == 404
        assert browser.get("/waivers/new").status_code == 403
    assert {f"/executions/{site.execution}", f"/images/{site.rejected_image}", "/pipelines/api", "/events"} <= paths
    assert {"/policies/of-api", f"/waivers/{waivers['api']}"} <= paths


def test_a_person_of_one_project_neither_sees_nor_counts_results_of_others(site: Site) -> None:
    roles = [{"role": "security", "repositories": "web/*"}]
    site.server.post("/principals", {"name": "lee", "roles": [], "project_roles": roles})
    with Browser(site.server, site.issue_token("lee")) as lee:
        assert "/pipelines/web" in lee.get("/pipelines?result=Succeeded").text
        for path in ("/pipelines?result=Rejected", "/pipelines?result=Undetermined", "/running?trouble=DeployFailed"):
            content = lee.get(path).text.partition("<main")[2]
            assert " matches." in content, path
            assert "in all" not in content
            assert "jobs" not in content
        assert lee.get("/pipelines/api?result=Rejected").status_code == 403


def test_pages_of_a_viewer_have_no_form_that_changes_anything(pages: Callable[[Role], Pages]) -> None:
    htmls = [answer.text for _, answer in pages(Role.VIEWER) if answer.status_code == 200]
    actions = {action for html in htmls for action in Forms(html).actions}
    session_actions = {action for action in actions if action.startswith("/settings/sessions/")}
    tries = {action for action in actions if action.startswith("/events/rules/") and action.endswith("/test")}
    assert actions - session_actions - tries == {"/signout", "/signin", "/theme"}


def test_a_viewer_reads_which_roles_have_the_missing_buttons(site: Site, pages: Callable[[Role], Pages]) -> None:
    htmls = {path: answer.text for path, answer in pages(Role.VIEWER)}
    expected = {
        "/pipelines": "A new pipeline needs the role admin.",
        f"/executions/{site.execution}": "A retry needs the role developer or admin.",
        "/running": "A new service needs the role admin.",
        "/running/web": "Scaling or restarting it needs the role admin.",
        "/repositories": "A new repository needs the role admin.",
        "/policies": "A new policy needs the role security or admin.",
        "/waivers": "A new waiver needs the role security or admin.",
        "/workers": "Taking a worker out of service needs the role admin.",
    }
    assert [path for path, text in expected.items() if text not in htmls[path]] == []
    admin = "".join(answer.text for _, answer in pages(Role.ADMIN))
    assert not re.search(r"needs the role [a-z, ]+\.</span>", admin)


def test_every_page_forbids_scripts_of_others(pages: Callable[[Role], Pages]) -> None:
    nonces = []
    for path, answer in pages(Role.ADMIN):
        if answer.headers.get("content-type", "").startswith("text/html"):
            policy = answer.headers["content-security-policy"]
            if answer.headers.get("content-disposition", "").startswith("attachment"):
                assert policy == "sandbox", path
                continue
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy, path
            assert "frame-ancestors 'none'" in policy, path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            nonce = re.search(r"'nonce-([^']+)'", policy)
            assert nonce, path
            nonces.append(nonce[1])
            assert not re.search(r"<script(?![^>]*nonce=)|\son\w+=|style=|javascript:", answer.text), path
    assert len(set(nonces)) == len(nonces)


def test_text_from_others_cannot_act_in_a_page(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        html = browser.get("/waivers").text
        assert "<script>alert" not in html
        assert "\u202e" not in html
        assert "&lt;script&gt;" in html
        for path in (f"/search?q={HOSTILE}", f"/waivers?owner={HOSTILE}", f"/images?repository={HOSTILE}"):
            assert "<script>alert" not in browser.get(path).text, path


def test_an_unknown_page_and_an_error_are_pages_for_people_and_json_for_programs(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        response = browser.get("/nothing/here")
        assert response.status_code == 404
        assert "There is no such page" in response.text
        unknown = browser.get("/executions/none-1")
        assert unknown.status_code == 404
        assert "<h1>" in unknown.text
        assert browser.get("/api/v1/executions/none-1").json()["error"]


# --- what a person reads and decides -------------------------------------------------------------------------------


def test_the_overview_lists_what_needs_a_person(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        html = browser.get("/").text
        assert site.execution in html
        assert '<noscript><p class="muted small">As of <time' in html
        assert "CRITICAL finding" in html
        assert "1 of 1 tasks run." in html
        title = re.search(r"<h1>(\d+ things? needs? you)</h1>", html)
        assert title
        assert f", {title[1]}</span></span>" in browser.get("/queue-count").text
        assert '<td class="number" data-label="Tasks">1 of 1</td>' in html
        changes = html.partition("What changed in the last 24 hours")[2].partition("</section>")[0]
        assert re.search(r'href="/running/web"(?:(?!</li>).)*deployed by (?:<[^>]*>)?web-1', changes, re.DOTALL)
        assert f"/executions/{site.execution}" in changes
        site.server.clock.ahead = timedelta(hours=2)
        later = browser.get("/").text
        site.server.clock.ahead = timedelta()
        assert "since your last visit" in later
        assert f"/executions/{site.execution}" not in later.partition("What changed")[2].partition("</section>")[0]


def test_a_rejected_execution_says_why_and_the_verdict_says_what_to_do(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        html = browser.get(f"/executions/{site.execution}").text
        assert "1 CRITICAL finding, at most 0 allowed" in html
        verdict = re.search(r"/verdicts/sha256:[0-9a-f]{64}", html)
        assert verdict
        page = browser.get(f"{verdict[0]}?replay=yes").text
    assert "To pass: 1 upgrade" in page
    assert "apt-get" in page
    assert page.index("To pass") < page.index("Broken rules") < page.index("Why it counts or not")
    assert "Within the policy" in page
    assert "no fix" in page
    assert "the same bytes again" in page


def test_undetermined_is_never_shown_as_approved(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        html = browser.get(f"/executions/{site.undetermined_approval}").text
        assert "> Failed" not in html.partition("<main")[2]
        assert '<span class="tone">Undetermined</span></h1>' in html
        pages = [browser.get(path).text for path in ("/pipelines", "/pipelines/jobs")]
        assert all("Undetermined: </span>" in text for text in pages)
        assert site.undetermined_approval in browser.get("/pipelines/jobs?result=Undetermined").text
        assert (
            f'href="/executions/{site.undetermined_approval}"' not in browser.get("/pipelines/jobs?result=Failed").text
        )
        assert "waits for its verdict." in pages[0]
        changes = browser.get("/").text.partition("What changed")[2].partition("</section>")[0]
        change = changes.partition(f"/executions/{site.undetermined_approval}")[0].rpartition("<li>")[2]
        assert "Undetermined" in change
        verdict = re.search(r"/verdicts/sha256:[0-9a-f]{64}", html)
        assert verdict
        page = browser.get(verdict[0]).text
    assert "Undetermined" in page
    assert "icon-diamond-question" in page
    assert "No findings in what could be judged." in page


def test_findings_are_accepted_in_the_page_and_the_execution_goes_on(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        html = browser.get(f"/executions/{site.execution}").text
        action = next(action for action in Forms(html).actions if action.endswith("/override"))
        answer = browser.send_form(action, until="2999-01-01", reason="never called")
        assert answer.status_code == 303, re.sub(r"(?s).*<main", "", answer.text)
        assert answer.headers["location"] == f"/executions/{site.execution}"
    wait_until(lambda: site.server.get(f"/executions/{site.execution}")["execution"]["state"] == "Succeeded")
    assert site.server.get("/waivers")[0]["waiver"]["created_by"] == "security"


def test_an_execution_that_failed_at_the_gate_leads_first_of_all_to_its_verdict(site: Site) -> None:
    view = site.server.get(f"/executions/{site.undetermined_approval}")
    (verdict,) = (
        action["approval"]["verdict"] for stage in view["stages"] for action in stage["actions"] if action["approval"]
    )
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as browser:
        page = browser.get(f"/executions/{site.undetermined_approval}").text
    answer = page.partition('class="answer')[2].partition("</div>")[0]
    assert f'<a href="/verdicts/{verdict}">See the findings and what to do</a>' in answer


def test_tasks_are_named_whole_and_restarted_in_the_page(site: Site) -> None:
    (before,) = site.server.get("/services/web")["tasks"]
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        assert f"<code>{before['id']}</code>" in browser.get("/running/web").text
        for path in ("/running/web", f"/running/web/tasks/{before['id']}"):
            assert f'href="/images/{before["digest"]}?repository=127.0.0.1:7421/web/app"' in browser.get(path).text
        assert f'href="/images/{before["digest"]}?repository=web/app"' in browser.get("/events").text
        assert browser.send_form("/running/web/restart").status_code == 303
        wait_until(lambda: site.server.get("/services/web")["rollouts"][0]["state"] == "Succeeded")
        assert "restart</td>" in browser.get("/running/web").text
    (after,) = site.server.get("/services/web")["tasks"]
    assert (after["digest"], after["revision"]) == (before["digest"], before["revision"] + 1)


def test_services_are_shown_while_their_target_does_not_answer(site: Site) -> None:
    target = site.server.adapters.targets["podman"]
    assert isinstance(target, MemoryTarget)
    target.available = False
    try:
        with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
            assert "How many tasks run is not known for" in browser.get("/running").text
            assert re.search(r"How many of \d+ tasks run on podman is not known: ", browser.get("/running/web").text)
        (summary,) = [entry for entry in site.server.get("/services") if entry["service"]["name"] == "web"]
        assert (summary["running"], site.server.get("/services/web")["tasks"]) == (None, None)
        assert summary["tasks_error"] == site.server.get("/services/web")["tasks_error"]
    finally:
        target.available = True
    assert site.server.get("/services/web")["tasks_error"] is None


def test_the_desired_count_is_changed_in_the_page(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        assert browser.send_form("/running/web", desired_count="-1").status_code == 422
        assert browser.send_form("/running/web", desired_count="2").status_code == 303
    wait_until(lambda: site.server.get("/services/web")["service"]["desired_count"] == 2)


# --- events --------------------------------------------------------------------------------------------------------


def _make_event(service: str, summary: str) -> NewEvent:
    detail = {"service": service, "summary": summary}
    at = "2026-11-28T12:00:00.000Z"
    return NewEvent(f"test/{service}", "dockgate", "service.at_risk", EventSubject("service", service), at, detail)


def test_events_are_filtered_by_a_pattern_and_shown_without_acting(site: Site) -> None:
    site.server.store.event_log.record([_make_event("shop", HOSTILE)])
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        pattern = '{"detail": {"service": ["shop"]}}'
        html = browser.get("/events", params={"pattern": pattern}).text
        assert '<a href="/running/shop"><bdi class="foreign">service shop</bdi></a>' in html
        assert "<script>alert" not in html
        other_page = browser.get("/events", params={"pattern": pattern.replace("shop", "other")}).text
        assert "No event matches" in other_page


@pytest.mark.parametrize("pattern", ["{", "[]", '{"a": "b"}', "[" * 5000])
def test_a_wrong_pattern_is_refused_with_its_reason(site: Site, pattern: str) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        answer = browser.get("/events", params={"pattern": pattern})
    assert answer.status_code == 422
    assert "The pattern is wrong" in answer.text


# --- lists ---------------------------------------------------------------------------------------------------------


def test_every_pushed_image_is_on_one_page_of_the_list(site: Site) -> None:
    at = "2026-11-20T12:00:{:02}.000Z"
    for number in range(60):
        digest = f"sha256:{number:064x}"
        site.server.store.images.add_push(PushedImage("listed", f"v{number}", digest, at.format(number)))
    seen_rows: list[str] = []
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        for status in ("", "NotJudged"):
            path, seen_rows = f"/images?repository=listed&status={status}", []
            while path:
                html = unescape(browser.get(path).text)
                seen_rows += re.findall(r'<a href="/images/sha256:([0-9a-f]{64})\?repository=listed">', html)
                older = re.search(r'<a href="([^"]*)">Next', html)
                path = older[1] if older else ""
            assert seen_rows == [f"{number:064x}" for number in reversed(range(60))], status
        assert "No image matches" in browser.get("/images?repository=listed&status=Approved").text
