"""People sign in by an identity provider: sessions, roles, the audit log, and what a browser cannot be made to do."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.fakes.identity_provider import SECRET
from tests.scenarios.browser import Browser
from tests.scenarios.provider_site import ProviderSite

from dockgate.identity.model import PERMISSIONS, Role
from dockgate.services.identity.provider_sign_in import RETURN_PATH
from dockgate.services.identity.sessions import PROVIDER_HOURS
from dockgate.web.recent_calls import FailedAuthentications

PENDING, SESSION = "dockgate-signin", "dockgate-session"


def set_pending(browser: Browser, value: str) -> None:
    """Change the cookie of a sign-in that has begun."""
    browser.cookies.clear()
    browser.cookies.set(PENDING, value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderSite]:
    site = ProviderSite(Path(tmp_path_factory.mktemp("provider")))
    with site.server as server:
        token = server.post("/principals", {"name": "root-admin", "roles": ["admin"]})["token"]
        server.client.headers["Authorization"] = f"Bearer {token}"
        yield site


@pytest.fixture(autouse=True)
def _no_failed_sign_ins(site: ProviderSite) -> None:
    site.server.app.state.failed_authentications = FailedAuthentications()


# --- signing in ---------------------------------------------------------------------------------------------------


def test_a_person_signs_in_and_comes_back_to_their_page(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        form = browser.get("/signin?to=/images").text
        assert 'href="/signin/provider?to=/images"' in form
        answer = site.sign_in(browser, site.add_person("ada", "developers"), "/images?sort=name")
        assert (answer.status_code, answer.headers["location"]) == (303, "/images?sort=name")
        assert PENDING not in browser.cookies
        assert "ada@example.org" in browser.get("/settings").text


def test_the_cookies_are_out_of_reach_of_scripts_and_hold_no_token(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        response = browser.get("/signin/provider")
        back = browser.get(site.sign_in_at_provider(browser, site.add_person("ada", "developers")))
    for answer in (response, back):
        for cookie in answer.headers.get_list("set-cookie"):
            assert "httponly" in cookie.lower()
            assert "samesite=lax" in cookie.lower() or "max-age=0" in cookie.lower()
    session_cookies = [cookie for cookie in back.headers.get_list("set-cookie") if cookie.startswith(f"{SESSION}=")]
    assert [f"Max-Age={PROVIDER_HOURS * 3600};" in cookie for cookie in session_cookies] == [True]
    assert response.headers["cache-control"] == back.headers["cache-control"] == "no-store"
    assert SECRET not in response.headers["set-cookie"] + response.headers["location"]


@pytest.mark.parametrize("role", Role)
def test_groups_have_the_permissions_of_their_roles(site: ProviderSite, role: Role) -> None:
    with Browser(site.server) as browser:
        assert site.sign_in(browser, site.add_person(f"in-{role}", f"{role}s", "unmapped")).status_code == 303
        answer = browser.get("/api/v1/caller").json()
    assert answer["roles"] == [role]
    assert set(answer["permissions"]) == {permission.value for permission in PERMISSIONS[role]}


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["all of us"], ["viewer"]),
        (["developers", "approvers"], ["approver", "developer"]),
        (["platform", "admins"], ["admin"]),
        (["Developers"], []),
        (["developers "], []),
        (["developer"], []),
        ([], []),
    ],
    ids=str,
)
def test_roles_follow_the_groups_of_the_latest_sign_in(site: ProviderSite, groups: list[str], roles: list[str]) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("mover", "securitys"))
        answer = site.sign_in(browser, site.add_person("mover", *groups))
        assert (answer.status_code == 303) == bool(roles)
    people = {entry["name"]: sorted(entry["roles"]) for entry in site.server.get("/principals")}
    assert people["mover@example.org"] == roles


def test_a_person_without_a_mapped_group_reads_why_and_has_no_session(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        answer = site.sign_in(browser, site.add_person("new", "gardeners"))
        assert answer.status_code == 403
        assert "no group of yours has a role" in answer.text
        assert SESSION not in browser.cookies
        assert browser.get("/").status_code == 303
    assert "new@example.org" not in {entry["name"] for entry in site.server.get("/principals")}
    call, status, detail = site.audit("unknown")[0]
    assert (call, status) == (f"GET {RETURN_PATH}", 403)
    assert "new@example.org has no access" in (detail or "")


def test_who_loses_every_group_loses_open_sessions_and_tokens_too(site: ProviderSite) -> None:
    with Browser(site.server) as old, Browser(site.server) as new:
        site.sign_in(old, site.add_person("leaver", "developers"))
        text = site.server.post("/tokens", {"principal": "leaver@example.org"})["text"]
        assert site.sign_in(new, site.add_person("leaver")).status_code == 403
        assert old.get("/").status_code == 403
        answer = httpx.get(f"{site.server.url}/api/v1/status", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 403


def test_a_disabled_person_cannot_sign_in(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("gone", "developers"))
        site.server.post("/principals/gone@example.org/disable")
        assert browser.get("/").status_code == 303
        assert "is disabled" in site.sign_in(browser, site.add_person("gone", "developers")).text


def test_a_name_that_is_taken_is_never_taken_over(site: ProviderSite) -> None:
    site.server.post("/principals", {"name": "ben@example.org", "roles": ["admin"]})
    with Browser(site.server) as browser:
        answer = site.sign_in(browser, site.add_person("x", "developers", email="Ben@example.org"))
        assert answer.status_code == 403
        assert "belongs to another principal" in answer.text
        site.sign_in(browser, site.add_person("carl", "developers"))
        assert site.sign_in(browser, site.add_person("carl-2", "admins", email="carl@example.org")).status_code == 403


def test_a_person_keeps_their_name_when_their_address_changes(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("mia", "developers"))
        site.sign_in(browser, site.add_person("mia", "developers", email="mia.new@example.org"))
        assert browser.get("/api/v1/caller").json()["name"] == "mia@example.org"
    people = {entry["name"]: entry["email"] for entry in site.server.get("/principals")}
    assert people["mia@example.org"] == "mia.new@example.org"


@pytest.mark.parametrize("name", ["<script>", "a b", "local", "unknown", "../x", "x" * 101])
def test_a_name_that_no_principal_can_have_is_refused_as_text(site: ProviderSite, name: str) -> None:
    with Browser(site.server) as browser:
        answer = site.sign_in(browser, site.add_person("1", "developers", email=name))
        assert answer.status_code == 403
        assert "<script>" not in answer.text.replace("<script defer", "")


# --- sessions -----------------------------------------------------------------------------------------------------


def test_signing_out_ends_the_session_everywhere(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("ada", "developers"))
        stolen_cookie = browser.cookies[SESSION]
        assert browser.send_form("/signout").headers["location"] == "/signin"
        browser.cookies.set(SESSION, stolen_cookie)
        assert browser.get("/").status_code == 303
    tokens = site.server.get("/tokens?principal=ada@example.org")
    assert tokens[0]["is_session"]
    assert tokens[0]["revoked_at"]


def test_an_admin_ends_a_session_by_its_token(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("ada", "developers"))
        site.server.post(f"/tokens/{site.server.get('/tokens?principal=ada@example.org')[0]['id']}/revoke")
        assert browser.get("/").status_code == 303


def test_a_form_of_another_site_does_nothing_in_such_a_session(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("boss", "admins"))
        answer = browser.post("/api/v1/principals", json={"name": "eve", "roles": ["admin"]})
        assert answer.status_code == 403
        assert "eve" not in {entry["name"] for entry in site.server.get("/principals")}


def test_a_sign_in_is_in_the_audit_log(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("sue", "developers"))
    assert (f"GET {RETURN_PATH}", 303, "session started") in site.audit("sue@example.org")


# --- answers that do not belong to the browser --------------------------------------------------------------------


def test_an_answer_for_another_browser_signs_no_one_in(site: ProviderSite) -> None:
    with Browser(site.server) as attacker, Browser(site.server) as victim:
        link = site.sign_in_at_provider(attacker, site.add_person("mallory", "developers"))
        for prepare in (lambda: None, lambda: victim.get("/signin/provider")):
            prepare()
            answer = victim.get(link)
            assert answer.status_code == 403
            assert "This browser did not begin" in answer.text
            assert SESSION not in victim.cookies
    assert "mallory@example.org" not in {entry["name"] for entry in site.server.get("/principals")}


def test_an_answer_counts_once(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        pending = browser.cookies[PENDING]
        code = parse_qs(urlsplit(back).query)["code"][0]
        code_grant = site.fake.codes[code]
        assert browser.get(back).status_code == 303
        set_pending(browser, pending)
        assert browser.get(back).status_code == 403
        site.fake.codes[code] = code_grant  # even if the provider takes the code again
        set_pending(browser, pending)
        answer = browser.get(back)
        assert answer.status_code == 403
        assert "used already" in answer.text


@pytest.mark.parametrize("field", ["state", "nonce", "verifier"])
def test_each_secret_of_the_browser_counts(site: ProviderSite, field: str) -> None:
    with Browser(site.server) as browser:
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        fields = json.loads(base64.urlsafe_b64decode(browser.cookies[PENDING]))
        fields[["state", "nonce", "verifier"].index(field)] = "A" * 43
        set_pending(browser, base64.urlsafe_b64encode(json.dumps(fields).encode()).decode())
        assert browser.get(back).status_code == 403
        assert SESSION not in browser.cookies


def test_an_error_of_the_provider_ends_the_sign_in_though_it_comes_with_a_code(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        refusal = browser.get(f"{back}&error=access_denied")
        assert refusal.status_code == 403
        assert not {PENDING, SESSION} & set(browser.cookies)
        assert browser.get(back).status_code == 403, "the browser keeps nothing of a sign-in that was refused"


def test_a_cookie_with_another_secret_signs_no_one_in(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        *secrets, target = json.loads(base64.urlsafe_b64decode(browser.cookies[PENDING]))
        set_pending(browser, base64.urlsafe_b64encode(json.dumps([*secrets, "A" * 43, target]).encode()).decode())
        assert browser.get(back).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "W10=", "bnVsbA==", "WyIiLCIiLCIiLCIvIl0=", "eyJhIjoxfQ==", "W1tbXV1d"])
def test_nonsense_in_the_cookie_signs_no_one_in(site: ProviderSite, cookie: str) -> None:
    with Browser(site.server) as browser:
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        set_pending(browser, cookie)
        assert browser.get(back).status_code == 403
        assert browser.get(f"{RETURN_PATH}?code=&state=").status_code == 403
        assert browser.get(f"{RETURN_PATH}?error=access_denied&state=%ff").status_code == 403


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_server(site: ProviderSite, target: str) -> None:
    with Browser(site.server) as browser:
        assert site.sign_in(browser, site.add_person("ada", "developers"), target).headers["location"] == "/"
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        fields = json.loads(base64.urlsafe_b64decode(browser.cookies[PENDING]))
        fields[3] = "/images"
        set_pending(browser, base64.urlsafe_b64encode(json.dumps(fields).encode()).decode())
        assert browser.get(back).headers["location"] == "/images"
        browser.cookies.clear()
        back = site.sign_in_at_provider(browser, site.add_person("ada", "developers"))
        fields = json.loads(base64.urlsafe_b64decode(browser.cookies[PENDING]))
        fields[3] = target
        set_pending(browser, base64.urlsafe_b64encode(json.dumps(fields).encode()).decode())
        assert browser.get(back).headers["location"] == "/"


def test_refused_sign_ins_are_recorded_and_limited(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        statuses = [browser.get(f"{RETURN_PATH}?code=x&state=y").status_code for _ in range(25)]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    assert len(site.audit("unknown")) < 100


def test_a_session_of_the_provider_ends_after_a_day(site: ProviderSite) -> None:
    with Browser(site.server) as browser:
        site.sign_in(browser, site.add_person("ada", "developers"))
        for _ in range(PROVIDER_HOURS // 6 - 1):
            site.server.clock.ahead += timedelta(hours=6)
            assert browser.get("/").status_code == 200
        site.server.clock.ahead += timedelta(hours=6, seconds=1)
        assert browser.get("/").status_code == 303
        site.server.clock.ahead = timedelta()
