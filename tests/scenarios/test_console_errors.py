"""What people see when something is refused or fails: a page with a sentence, the next step, and the way back."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import FROM_PAGE, Browser, Forms
from tests.scenarios.console_site import Site
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role
from dockgate.services.workers import Workers

# Its tests share a server.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("errors"))) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def admin(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


def test_the_heading_of_an_error_is_a_sentence_with_the_next_command_as_code(admin: Browser) -> None:
    html = admin.get("/executions/none-1").text
    assert "There is no execution" in html
    assert "<title>There is no execution" in html
    assert "<code>dockgate pipeline executions NAME</code>" in html


@pytest.mark.parametrize("path", ["/people?sort=x", "/policies?sort=x", "/events?sort=x", "/images?layer=x"])
def test_a_wrong_address_is_answered_with_a_page(admin: Browser, path: str) -> None:
    answer = admin.get(path)
    assert answer.status_code == 422
    assert "<h1>" in answer.text
    assert "query." not in answer.text
    assert "Input should" not in answer.text
    assert admin.get(f"/api/v1{path}", headers={"Accept": "text/html"}).headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("address", "headers", "status", "heading"),
    [
        ("/audit?by=a&by=b", {}, 400, "The request repeats the parameter"),
        ("/images?q=%00", {}, 400, "NUL character"),
        ("/images", {"Content-Encoding": "gzip"}, 415, "Compressed bodies are not accepted"),
        (
            "/images",
            {"Origin": "https://evil.example"},
            403,
            "Requests from the origin https://evil.example are refused",
        ),
        ("/images", {"Host": "evil.example:80"}, 400, "This server accepts no requests for the host evil.example:80"),
        ("/images", {"Host": "localhost/evil"}, 400, "The request names no valid host"),
    ],
)
def test_what_no_route_sees_is_refused_with_a_page_too(
    admin: Browser, address: str, headers: dict[str, str], status: int, heading: str
) -> None:
    answer = admin.get(address, headers=headers)
    assert answer.status_code == status
    assert heading in answer.text.partition("<h1>")[2].partition("</h1>")[0]
    call = admin.get(f"/api/v1{address}", headers={"Accept": "text/html", **headers})
    assert call.status_code == status
    assert set(call.json()) == {"error", "advice"}


NAVIGATION = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_page_at_an_address_of_loopback_leads_to_the_name_of_the_console(
    site: Site, admin: Browser, host: str
) -> None:
    port = site.server.url.rpartition(":")[2]
    answer = admin.get("/audit?by=a&by=b", headers={"Host": f"{host}:{port}", **NAVIGATION})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{site.server.console_url}/audit?by=a&by=b")
    assert "set-cookie" not in answer.headers
    assert admin.get("/", headers={"Host": f"localhost:{port}", **NAVIGATION}).status_code == 200
    assert admin.get("/", headers={"Host": f"{host}:{port}"}).status_code == 200, "no browser, or a part of a page"
    assert admin.get("/api/v1/status", headers={"Host": f"{host}:{port}", **NAVIGATION}).status_code == 200
    form = {**FROM_PAGE, **NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": site.server.console_url}
    answer = admin.post("/theme", data={"theme": "dark"}, headers={"Host": f"localhost:{port}", **form})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("/executions/EXECUTION/stop", "/executions/EXECUTION"),
        ("/executions/EXECUTION/retry?x=1", "/executions/EXECUTION"),
        ("/approvals/EXECUTION/ContainerVulnerabilityAssessment/Approval/1/vote", "/approvals/EXECUTION/"),
        ("/images/IMAGE/scan", "/images/IMAGE"),
        ("/people/ada/tokens/none/revoke", "/people/ada"),
        ("/policies/default/remove", "/policies/default"),
        ("/pipelines/web/start", "/pipelines/web"),
        ("/running/web/restart", "/running/web"),
        ("/events/rules/default/test", "/events/rules/default"),
        ("/waivers/none/revoke", "/waivers/none"),
        ("/theme", "/"),
    ],
)
def test_the_address_of_a_form_leads_a_browser_back_to_its_page(
    site: Site, admin: Browser, address: str, page: str
) -> None:
    names = {"EXECUTION": site.execution, "IMAGE": site.rejected_image}
    for name, value in names.items():
        address, page = address.replace(name, value), page.replace(name, value)
    answer = admin.get(address)
    assert answer.status_code == 405
    assert "takes only what a form sends" in answer.text
    assert f'<a class="button primary" href="{page}' in answer.text


def test_a_cursor_of_another_order_leads_to_the_list_and_not_to_itself(admin: Browser) -> None:
    answer = admin.get("/waivers?state=Active&after=//evil.example")
    assert answer.status_code == 400
    assert '<a class="button primary" href="/waivers">Waivers</a>' in answer.text
    assert 'href="//' not in answer.text


@pytest.mark.parametrize("value", ['"><script>alert(1)</script>', "//evil.example", "a" * 5000, "\0", "\r\nX-Evil: 1"])
def test_values_of_filters_and_cursors_cannot_act(admin: Browser, value: str) -> None:
    for path in ("/audit?call", "/audit?result", "/pipelines?result", "/waivers?owner", "/vex?state", "/audit?after"):
        answer = admin.get(f"{path}={quote(value)}")
        assert answer.status_code in (200, 400, 422), path
        assert "<script>alert" not in answer.text
        assert 'href="//' not in answer.text
        assert "x-evil" not in answer.headers


def test_a_filter_shows_the_invisible_characters_of_its_text(site: Site, admin: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    paths = [
        *("/audit?by", "/waivers?owner", "/events?pattern", "/vulnerabilities?q", "/search?q", "/images?package"),
        *(
            "/images?repository",
            f"/images/{site.rejected_image}?q",
            f"/verdicts/{verdict}?q",
            f"/verdicts/{verdict}?against",
        ),
        *(f"/executions/{site.execution}/Build/Build/1?q", "/pipelines?after", "/packages/x?only", "/people?role"),
    ]
    text = quote("a\u202eb\x1b")
    for path in paths:
        html = admin.get(f"{path}={text}").text
        visible_html = re.sub(r'<input type="hidden"[^>]*>', "", html)
        assert "\u202e" not in visible_html, path
        assert "\x1b" not in visible_html, path


def test_a_wrong_parameter_is_named_with_its_values(admin: Browser) -> None:
    html = unescape(admin.get("/people?sort=x").text)
    assert "Sort is 'x'" not in html  # the name of the parameter, as it is written
    assert "sort is 'x', which is not one of its values." in html
    assert "Use 'name', '-name', '-added' or 'added'." in html


def test_an_error_page_names_its_request_as_the_log_does(admin: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dockgate.web.console.routes")
    html = admin.get("/executions/none-1").text
    name = re.search(r'request <span class="copied"><code>([0-9a-f]{12})</code>', html)
    assert name
    assert f"GET /executions/none-1: 404 there is no execution 'none-1' [request {name[1]}]" in caplog.text


@pytest.mark.parametrize(
    ("address", "status"), [("/people", 403), ("/nowhere", 404), ("/theme", 405), ("/people?sort=x", 403)]
)
def test_an_error_page_keeps_the_navigation_of_the_person(site: Site, address: str, status: int) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as viewer, Browser(site.server) as stranger:
        answer, answer_to_stranger = viewer.get(address), stranger.get(address)
    assert answer.status_code == status
    assert '<nav class="rail"' in answer.text
    assert '<span class="name">viewer</span>' in answer.text
    assert 'href="/people"' not in answer.text
    assert '<nav class="rail"' not in answer_to_stranger.text
    assert "or search" not in answer_to_stranger.text


def test_a_page_says_when_a_role_for_some_repositories_is_not_sufficient(site: Site) -> None:
    role = {"role": "security", "repositories": "api/*"}
    site.server.post("/principals", {"name": "project", "roles": [], "project_roles": [role]})
    path = f"/verdicts/{site.server.get(f'/images/{site.rejected_image}')['verdicts'][0]['digest']}"
    sentence = "Waiving a finding needs the role security or admin"
    with Browser(site.server, site.issue_token("project")) as browser:
        assert f"{sentence}; you have it for some repositories only." in browser.get(path).text
    with Browser(site.server, site.tokens[Role.VIEWER]) as viewer:
        assert f"{sentence}." in viewer.get(path).text


def test_a_page_that_needs_a_role_names_the_role_and_whom_to_ask(site: Site) -> None:
    for number in range(6):
        site.server.post("/principals", {"name": f"boss-{number}", "roles": ["admin"]})
    site.server.post("/principals/boss-0/disable", {})
    roles = [{"role": "security", "repositories": "web/*"}]
    site.server.post("/principals", {"name": "pat", "roles": ["viewer"], "project_roles": roles})
    for token in (site.tokens[Role.VIEWER], site.issue_token("pat")):
        with Browser(site.server, token) as browser:
            answer = browser.get("/audit")
        assert answer.status_code == 403
        page = re.sub(r"<[^>]+>", "", answer.text.partition("<h1>")[2])
        assert "security or admin" in page
        assert "Administrators of this server: ada, boss-1, boss-2, boss-3, boss-4 and 1 more." in page
    with Browser(site.server, site.issue_token("ada", repositories=["web/*"])) as browser:
        assert "Administrators of" not in browser.get("/audit").text  # a role would not help


def test_a_form_of_another_site_gets_an_error_page_without_navigation(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as viewer:
        answer = viewer.post("/nowhere", headers={**FROM_PAGE, "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 404
    assert '<nav class="rail"' not in answer.text


def test_a_defect_is_answered_with_a_page(site: Site, admin: Browser) -> None:
    services = site.server.app.state.services
    upkeep = replace(services.upkeep, workers=cast("Workers", None))
    site.server.app.state.services = replace(services, upkeep=upkeep)
    try:
        answer = admin.get("/workers")
        program = site.server.client.get("/workers")  # on another connection: the server closes that of a defect
    finally:
        site.server.app.state.services = services
    assert answer.status_code == program.status_code == 500
    assert program.json()["error"] == "internal error: AttributeError"
    assert program.headers["cache-control"] == answer.headers["cache-control"] == "no-store"
    assert program.headers["x-content-type-options"] == answer.headers["x-content-type-options"] == "nosniff"
    assert program.headers["x-frame-options"] == "DENY"
    assert "<h1>" in answer.text
    assert "Internal error: AttributeError." in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_refused_form_leads_back_to_its_page_and_nowhere_else(site: Site, admin: Browser) -> None:
    action, url = "/policies/default/remove", site.server.url
    pages = {
        f"{url}/policies/default?version=0": "/policies/default?version=0",
        f"{url}/events/rules/default/test": "/events/rules/default",  # the page of a form with an error
        "https://evil.example/x": "/policies/default",
        "http://[": "/policies/default",
        "": "/policies/default",
    }
    for referer, back in pages.items():
        html = admin.post(action, headers={**FROM_PAGE, "Referer": referer}).text
        assert f'href="{back}">Back' in html, referer
        assert "evil" not in html
        assert html.count("button primary") == 1


def test_a_possible_contributor_cannot_override(site: Site, admin: Browser) -> None:
    action = f"/approvals/{site.execution}/ContainerVulnerabilityAssessment/Approval/1/override"
    html = admin.get(f"/executions/{site.execution}").text
    assert action not in Forms(html).actions
    assert "ada has no e-mail address" in html
    assert "Another person with the role security or admin can accept the findings" in html
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        assert action in Forms(browser.get(f"/executions/{site.execution}").text).actions


def test_a_refused_decision_stays_in_its_form_with_a_link_to_the_field(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        action = f"/approvals/{site.execution}/ContainerVulnerabilityAssessment/Approval/1/override"
        answer = browser.send_form(action, until="2020-01-01", reason='It is "safe".')
        assert (answer.status_code, "<title>Error:" in answer.text) == (422, True)
        assert '<a href="#field-until">' in answer.text
        assert "2020-01-01 is in the past" in answer.text
        assert 'id="field-until" value="2020-01-01"' in answer.text
        assert 'id="field-reason" value="It is &#34;safe&#34;."' in answer.text
        assert 'href="/approvals/' not in answer.text  # nothing leads to where the form was sent


def test_a_page_says_once_why_an_execution_was_rejected(site: Site, admin: Browser) -> None:
    for name in (site.execution, site.undetermined_approval):
        (decision,) = (
            action["approval"]
            for stage in site.server.get(f"/executions/{name}")["stages"]
            for action in stage["actions"]
            if action["approval"]
        )
        text = unescape(re.sub(r"<[^>]*>", "", admin.get(f"/executions/{name}").text))
        reason = decision["summary"].partition(": ")[2].removeprefix("Undetermined: ")
        assert text.count(reason) == 1


def test_what_an_outside_pipeline_asks_is_undetermined_if_its_verdict_is(site: Site, admin: Browser) -> None:
    body = {"pipeline": "checkout", "stage": "gate", "execution": "41", "repository": "checkout/app"}
    approval = site.server.post("/approvals", {**body, "digest": f"sha256:{'0' * 64}"})["approval"]["id"]
    wait_until(lambda: site.server.get(f"/approvals/{approval}")["state"] == "Rejected")
    html = admin.get(f"/approvals/{approval}").text
    assert "Undetermined" in html.partition("<h1>")[2].partition("</h1>")[0]
    assert html.count("Push it first") == 1


def test_an_external_rejection_is_overridden_by_another_person_than_the_requester(site: Site, admin: Browser) -> None:
    image = site.server.plan_foreign_image("requested", PlannedFindings({"CRITICAL": 1}))
    site.server.scan_may_end[image].set()
    body = {"pipeline": "checkout", "stage": "gate", "execution": "42", "image": "elsewhere.example/app:requested"}
    approval = site.server.post("/approvals", body)["approval"]["id"]
    wait_until(lambda: site.server.get(f"/approvals/{approval}")["state"] == "Rejected")
    form, fields = f"/approvals/{approval}/override", {"until": "2999-01-01", "reason": "not reachable"}
    html = admin.get(f"/approvals/{approval}").text
    assert form not in Forms(html).actions
    assert "ada asked for the approval. Another person with the role security or admin" in re.sub("<[^>]+>", "", html)
    assert admin.send_form(form, **fields).status_code == 403
    with Browser(site.server, site.tokens[Role.SECURITY]) as security:
        assert form in Forms(security.get(f"/approvals/{approval}").text).actions
        assert security.send_form(form, **fields).status_code == 303


def test_a_stopped_approval_waits_for_no_verdict(site: Site, admin: Browser) -> None:
    assert "is being scanned and judged" in admin.get(f"/executions/{site.waiting}").text
    site.server.post(f"/executions/{site.waiting}/stop", {"reason": "enough"})
    html = admin.get(f"/executions/{site.waiting}").text
    assert "is being scanned and judged" not in html
    assert "none before it ended" in html


def test_settings_say_which_session_is_this_one(admin: Browser, site: Site) -> None:
    with Browser(site.server, site.tokens[Role.ADMIN]):
        assert admin.get("/settings").text.count("This one") == 1
