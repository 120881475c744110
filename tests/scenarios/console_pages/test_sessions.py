"""Sessions of the console, and forms from our own pages only."""

import re
from html import unescape
from urllib.parse import quote

import pytest
from tests.scenarios.browser import FROM_PAGE, Browser
from tests.scenarios.console_site import Site

from dockgate.identity.model import Role

COOKIE = "dockgate-session"


# --- sessions ------------------------------------------------------------------------------------------------------


def test_a_visitor_without_session_is_led_to_sign_in_and_back(site: Site) -> None:
    with Browser(site.server) as browser:
        answer = browser.get("/pipelines/api?sort=number")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/signin?to=%2Fpipelines%2Fapi%3Fsort%3Dnumber"
        form = browser.get(answer.headers["location"])
        assert 'value="/pipelines/api?sort=number"' in unescape(form.text)
        signed_in = browser.send_form("/signin", token=site.tokens[Role.VIEWER], to="/pipelines/api?sort=number")
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/pipelines/api?sort=number")
        assert browser.get("/pipelines/api?sort=number").status_code == 200


@pytest.mark.parametrize(
    ("path", "referer", "page"),
    [
        ("/policies/mine", "SELF/policies/mine?example=strict", "/policies/mine?example=strict"),
        ("/policies/mine", None, "/policies/mine"),
        ("/events/rules/default/test", None, "/events/rules/default"),
        ("/events/rules/default/test", "SELF/events/rules/default/test", "/events/rules/default"),
        ("/events/rules/default/test", "https://evil.example/x", "/events/rules/default"),
        ("/theme", None, "/"),
    ],
)
def test_a_form_without_session_shows_what_was_typed_and_leads_back_to_its_page(
    site: Site, path: str, referer: str | None, page: str
) -> None:
    headers = FROM_PAGE | ({"Referer": referer.replace("SELF", site.server.url)} if referer else {})
    fields = {"text": "typed </textarea><b>\nsecond", "version": "3", "token": "dgt_hidden", "comment": ""}
    with Browser(site.server) as browser:
        answer = browser.post(path, data=fields, headers=headers)
        assert answer.status_code == 401
        assert "typed &lt;/textarea&gt;&lt;b&gt;\nsecond</textarea>" in answer.text
        assert answer.text.count("<textarea") == 1
        assert "dgt_hidden" not in answer.text
        assert f'href="/signin?to={quote(page, safe="")}"' in answer.text
        assert browser.post(path, data=fields, headers={"Accept": "text/html"}).status_code == 403


def test_a_part_of_a_page_without_session_leads_to_sign_in_and_back_to_the_page(site: Site) -> None:
    headers = FROM_PAGE | {"HX-Request": "true", "HX-Current-URL": f"{site.server.url}/events/rules/default/test"}
    with Browser(site.server) as browser:
        answer = browser.post("/definitions/check", data={"text": "typed"}, headers=headers)
        assert (answer.status_code, "HX-Redirect" in answer.headers) == (401, False)
        assert "<html" not in answer.text
        assert "your session has ended" in answer.text
        assert '<a href="/signin?to=%2Fevents%2Frules%2Fdefault">' in answer.text
        part = browser.get("/pipelines", headers=headers)
        assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/signin?to=%2Fevents%2Frules%2Fdefault")


def test_a_check_of_what_is_typed_that_fails_is_answered_inside_the_form(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        for headers, text, status in ((FROM_PAGE, "a\0b", 400), ({"Sec-Fetch-Site": "none"}, "a", 403)):
            part = {"Accept": "text/html", **headers, "HX-Request": "true"}
            answer = browser.post("/definitions/check", data={"text": text}, headers=part)
            assert (answer.status_code, "<html" in answer.text) == (status, False)
            assert "Not checked." in answer.text


def test_a_form_with_a_file_without_session_shows_its_text(site: Site) -> None:
    files = {"file": ("a.json", '{"of": "a file"}'), "content": (None, "typed <b>\r\nsecond")}
    with Browser(site.server) as browser:
        answer = browser.post("/vex", files=files, headers=FROM_PAGE)
        large = browser.post("/vex", files={"content": (None, "typed " + "&" * (1 << 20))}, headers=FROM_PAGE)
    assert answer.status_code == large.status_code == 401
    assert "typed &lt;b&gt;\nsecond</textarea>" in answer.text
    assert "of a file" not in unescape(answer.text)
    assert 'href="/signin?to=%2Fvex"' in answer.text
    assert "Too long to be shown here." in large.text
    assert len(large.text) < 1 << 20


@pytest.mark.parametrize(
    "target",
    [
        *("//evil.example/", "///evil.example", "https://evil.example/", "https:evil.example", "javascript:alert(1)"),
        *("/\\evil.example", "\\/evil.example", "/\t/evil.example", "/\n/evil.example", "/\u2028/evil.example"),
    ],
)
def test_signing_in_leads_to_no_other_server(site: Site, target: str) -> None:
    with Browser(site.server) as browser:
        assert browser.send_form("/signin", token=site.tokens[Role.VIEWER], to=target).headers["location"] == "/"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/people", "/signin", "/nothing", "/queue-count", "/live?since=", "/verdicts/VERDICT/report?form=html"),
        *("/api/v1/caller", "/api/v1/waivers", "/api/v1/documents/VERDICT", "/api/v1/nothing"),
        *("/repositories/web/raw/Dockerfile?at=main", "/executions/api-1/Build/Build/1/raw", "/images/IMAGE/sbom"),
    ],
)
def test_no_answer_is_kept_by_caches_or_shown_in_a_frame(site: Site, path: str) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    path = path.replace("VERDICT", verdict).replace("IMAGE", site.rejected_image)
    with Browser(site.server) as browser:
        browser.headers["Authorization"] = f"Bearer {site.tokens[Role.ADMIN]}"
        with browser.stream("GET", path) as answer:
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith(("default-src 'none'", "sandbox"))


def test_a_session_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    with Browser(site.server) as browser:
        answer = browser.send_form("/signin", token=site.tokens[Role.VIEWER])
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert site.tokens[Role.VIEWER] not in cookie


def test_an_invalid_token_starts_no_session_and_is_not_shown(site: Site) -> None:
    wrong = "dgt_000000000000_" + "1" * 64
    with Browser(site.server) as browser:
        answer = browser.send_form("/signin", token=wrong)
        assert answer.status_code == 422
        assert wrong not in answer.text
        assert "set-cookie" not in answer.headers
        statuses = [browser.send_form("/signin", token=wrong).status_code for _ in range(25)]
    assert statuses[-1] == 429


def test_the_page_to_sign_in_says_what_to_do_when_every_admin_token_is_lost(site: Site) -> None:
    with Browser(site.server) as browser:
        html = browser.get("/signin").text
    assert "dockgate token create NAME --local</code> on the server's machine" in html


def test_signing_out_ends_the_session_everywhere(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        stolen_cookie = browser.cookies[COOKIE]
        assert browser.send_form("/signout").headers["location"] == "/signin"
        browser.cookies.set(COOKIE, stolen_cookie)
        assert browser.get("/").status_code == 303


def test_a_revoked_token_ends_its_sessions(site: Site) -> None:
    token = site.issue_token("viewer")
    with Browser(site.server, token) as browser:
        assert browser.get("/").status_code == 200
        site.server.post(f"/tokens/{token.split('_')[1]}/revoke")
        assert browser.get("/").status_code == 303


def test_people_see_and_end_only_their_own_sessions(site: Site) -> None:
    with (
        Browser(site.server, site.tokens[Role.VIEWER]) as viewer,
        Browser(site.server, site.tokens[Role.ADMIN]) as admin,
    ):
        own_sessions = re.findall(r"/settings/sessions/([0-9a-f]{64})/end", viewer.get("/settings").text)
        other_sessions = re.findall(r"/settings/sessions/([0-9a-f]{64})/end", admin.get("/settings").text)
        assert own_sessions
        assert not set(own_sessions) & set(other_sessions)
        assert viewer.send_form(f"/settings/sessions/{other_sessions[0]}/end").status_code == 404
        assert admin.get("/").status_code == 200


def test_ended_sessions_are_in_the_audit_log(site: Site) -> None:
    """Who has stolen a cookie could otherwise end the sessions of its owner without a trace."""
    with Browser(site.server, site.tokens[Role.VIEWER]) as thief, Browser(site.server, site.tokens[Role.VIEWER]):
        sessions = re.findall(r"/settings/sessions/([0-9a-f]{64})/end", thief.get("/settings").text)
        before = read_calls(site)
        assert thief.send_form(f"/settings/sessions/{'0' * 64}/end").status_code == 404
        assert read_calls(site) == before
        for session in sessions:
            thief.send_form(f"/settings/sessions/{session}/end")
        after = read_calls(site)
    new_calls = [call for call in after if call not in before]
    assert ("POST /settings/sessions/{digest}/end", f"/settings/sessions/{sessions[0]}/end", 303) in new_calls
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        browser.send_form("/signout")
    assert ("POST /signout", "/signout", 303) in read_calls(site)


def read_calls(site: Site) -> list[tuple[str, str, int]]:
    return [(entry["call"], entry["subject"], entry["status"]) for entry in site.server.get("/audit?by=viewer")]


def test_a_sign_in_is_in_the_audit_log(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.SECURITY]):
        entries = site.server.get("/audit?by=security")
    assert ("POST /signin", 303) in {(entry["call"], entry["status"]) for entry in entries}


# --- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "SELF"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_does_nothing(site: Site, headers: dict[str, str]) -> None:
    sent_headers = {name: site.server.url if value == "SELF" else value for name, value in headers.items()}
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        before = site.server.get("/pipelines/web/executions")
        assert browser.post("/pipelines/web/start", data={"key": "x"}, headers=sent_headers).status_code == 403
        assert browser.post("/api/v1/pipelines/web/executions", headers=sent_headers).status_code == 403
        assert site.server.get("/pipelines/web/executions") == before


def test_an_older_browser_proves_the_page_by_its_origin(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        assert browser.post("/theme", data={"theme": "dark"}, headers={"Origin": site.server.url}).status_code == 303
        assert 'data-theme="dark"' in browser.get("/").text


def test_pages_are_compressed_and_answers_to_forms_are_not(site: Site) -> None:
    """An answer to a form may show a token: its length must tell nothing of it."""
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        page = browser.get("/styleguide")
        assert page.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in page.headers["vary"]
        assert "content-encoding" not in browser.get("/styleguide", headers={"Accept-Encoding": "identity"}).headers
        style = re.search(r'/static/console\.css[^"]+', page.text)
        assert style
        assert browser.get(style[0]).headers["content-encoding"] == "gzip"
        assert browser.get(style[0], headers={"Accept-Encoding": ""}).text == browser.get(style[0]).text
        response = browser.send_form("/people/ada/tokens", days="1")
        assert "shown once" in response.text
        assert "content-encoding" not in response.headers


def test_a_request_for_a_token_that_is_repeated_makes_one(site: Site) -> None:
    headers, body = {"Idempotency-Key": "one"}, {"principal": "ada"}
    statuses = [site.server.client.post("/tokens", json=body, headers=headers).status_code for _ in range(2)]
    assert statuses == [201, 409]


def test_a_form_with_an_error_keeps_what_was_typed(site: Site) -> None:
    fields = {"vulnerability": "CVE-2026-77", "owner": "", "reason": "typed text", "until": "2999-01-01", "key": "k"}
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        answer = browser.send_form("/waivers/new", **fields)
    assert answer.status_code == 422
    assert "typed text" in answer.text
    assert "<title>Error: new waiver" in answer.text
    assert '<a href="#field-owner">' in answer.text
    assert 'id="field-owner"' in answer.text


def test_a_waiver_of_a_finding_says_whether_it_turns_the_verdict_before_it_is_saved(site: Site) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        link = re.search(r'href="(/waivers/new[^"]+)"', browser.get(f"/verdicts/{verdict}").text)
        assert link
        waiver_form = browser.get(unescape(link[1]))
        assert "What it changes" in waiver_form.text
        assert f'<a href="/verdicts/{verdict}">verdict</a>' in waiver_form.text
        waivers = site.server.get("/waivers")
        fields = {
            "image": site.rejected_image,
            "owner": "ana",
            "reason": "why",
            "until": "2999-01-01",
            "key": "preview",
        }
        preview = browser.send_form("/waivers/new", do="preview", verdict=verdict, **fields)
        assert preview.status_code == 200
        assert "turns from" in preview.text
        assert 'value="why"' in preview.text
        assert browser.send_form("/waivers/new", do="preview", **{**fields, "until": "2020-01-01"}).status_code == 422
    assert site.server.get("/waivers") == waivers


@pytest.mark.parametrize(
    ("path", "fields", "field", "text"),
    [
        (
            "/people",
            {"name": "a b", "email": "kim@example.org", "role-viewer": "yes"},
            "name",
            'value="kim@example.org"',
        ),
        ("/people", {"name": "kim", "project-roles": "queen:a/*"}, "role", 'value="queen:a/*"'),
        ("/people/ada/roles", {"role-viewer": "yes"}, "role", 'name="role-viewer" value="yes" checked'),
        ("/people/ada/tokens", {"days": "9000"}, "days", 'value="9000"'),
        ("/people/ada/tokens", {"days": "many"}, "days", 'value="many"'),
        ("/events/rules/default/test", {"event": "{typed"}, "event", "{typed"),
        ("/running/web", {"desired_count": "999"}, "desired-count", 'value="999"'),
        ("/running/web", {"desired_count": ""}, "desired-count", 'value=""'),
    ],
)
def test_every_form_with_an_error_keeps_what_was_typed_and_links_to_the_field(
    site: Site, path: str, fields: dict[str, str], field: str, text: str
) -> None:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        answer = browser.send_form(path, **fields)
    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert f'<a href="#field-{field}">' in answer.text
    assert f'id="field-{field}"' in answer.text
    assert text in unescape(answer.text)


def test_a_policy_that_another_person_changed_is_not_overwritten(site: Site) -> None:
    text = "kind: Policy\nname: mine\nrules:\n  max_findings: {CRITICAL: 0}\n"
    site.server.apply(text)
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        assert "CRITICAL: 0" in browser.get("/policies/mine").text
        site.server.apply(text.replace("0", "1"))
        answer = browser.send_form("/policies/mine", text=text.replace("0", "5"), version="1")
        assert answer.status_code == 412
        assert "CRITICAL: 5" in answer.text
        assert "is at version 2" in answer.text
        assert "<del>-  max_findings: {CRITICAL: 1}</del>" in answer.text
        assert "<ins>+  max_findings: {CRITICAL: 5}</ins>" in answer.text
        assert "dockgate policy show mine`" not in answer.text
        assert "Valid Policy" in answer.text
        assert "Not valid" not in answer.text
        assert site.server.get("/policies/mine")["version"] == 2


@pytest.mark.parametrize("action", ["", "check", "running"])
def test_a_policy_that_another_person_removed_keeps_the_text(site: Site, action: str) -> None:
    name = f"gone-{action or 'saved'}"
    site.server.apply(f"kind: Policy\nname: {name}\nrules:\n  max_findings: {{CRITICAL: 0}}\n")
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        assert site.server.client.delete(f"/policies/{name}").status_code == 200
        answer = browser.send_form(f"/policies/{name}", text="# Mine\nmax_findings: {HIGH: 7}", version="1", do=action)
        assert answer.status_code == 412
        assert f"The policy {name} was removed since you opened it" in answer.text
        assert "Valid Policy" in answer.text
        document = unescape(re.findall(r"(?s)<textarea[^>]*>(.*?)</textarea>", answer.text)[0])
        assert '<form method="post" action="/new/policy"' in answer.text
        assert browser.send_form("/new/policy", text=document).headers["location"] == f"/policies/{name}"
    assert "HIGH: 7" in site.server.get(f"/policies/{name}")["text"]
