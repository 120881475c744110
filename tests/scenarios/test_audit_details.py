"""The audit log says what each call changed, whether it was made by the API or by a page."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Permission, Role
from dockgate.web.audit_details import note_change
from dockgate.web.authorization import describe_call, list_permissions
from dockgate.web.git_push import Push

STRICT = "max_findings:\n  CRITICAL: 0\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("audit"))) as server:
        yield Site(server)


def _get_newest_detail(site: Site, call: str) -> str:
    entries = site.server.get("/audit")
    return next(str(entry["detail"] or "") for entry in entries if entry["call"] == call)


def test_calls_of_the_api_say_what_they_changed(site: Site) -> None:
    server = site.server
    server.post("/services/web/scale", {"desired_count": 2})
    assert _get_newest_detail(site, "POST /api/v1/services/{name}/scale") == "desired count 1 -> 2"
    server.client.put("/policies/audited", content=STRICT, params={"comment": "At first"}).raise_for_status()
    assert _get_newest_detail(site, "PUT /api/v1/policies/{name}") == "version 1: At first"
    server.client.put("/policies/audited", content=STRICT, params={"comment": "Again"}).raise_for_status()
    assert _get_newest_detail(site, "PUT /api/v1/policies/{name}") == "unchanged: version 1"
    server.client.delete("/policies/audited", params={"comment": "Not used"}).raise_for_status()
    assert _get_newest_detail(site, "DELETE /api/v1/policies/{name}") == "removed: Not used"
    server.apply("kind: Repository\nname: audited\n")
    assert _get_newest_detail(site, "POST /api/v1/apply") == "Repository audited created"
    server.post("/principals", {"name": "kim", "roles": ["viewer"]})
    assert _get_newest_detail(site, "POST /api/v1/principals") == "kim: viewer"
    server.post("/principals/kim/roles", {"roles": ["developer"]})
    assert _get_newest_detail(site, "POST /api/v1/principals/{name}/roles") == "viewer -> developer"
    issued_token = server.post("/tokens", {"principal": "kim", "repositories": ["web/*"]})
    detail = _get_newest_detail(site, "POST /api/v1/tokens")
    assert detail.startswith(f"{issued_token['token']['id']} of kim until 20")
    assert detail.endswith("limits: web/*")
    assert issued_token["text"] not in str(server.get("/audit"))
    server.post(f"/tokens/{issued_token['token']['id']}/revoke", {})
    assert (
        _get_newest_detail(site, "POST /api/v1/tokens/{token_id}/revoke")
        == f"{issued_token['token']['id']} of kim revoked"
    )


def test_forms_of_pages_say_what_they_changed_and_refused_ones_nothing(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        fields = {"vulnerability": "CVE-2026-7", "owner": "ana", "reason": "Never called", "until": "2999-01-01"}
        waiver = browser.send_form("/waivers/new", key="k", **fields).headers["location"].rpartition("/")[2]
        expected = f"{waiver}: vulnerability CVE-2026-7 until 2999-01-01T00:00:00.000Z; owner ana: Never called"
        assert _get_newest_detail(site, "POST /waivers/new") == expected
        page = re.sub(r'<span class="whole">([^<]*)</span>', r"\1", browser.get("/audit").text)
        assert f'{waiver}: vulnerability CVE-2026-7 until <time datetime="2999-01-01T00:00:00.000Z"' in page
        assert "; owner ana: Never called" in page
        browser.send_form(f"/waivers/{waiver}/revoke")
        assert _get_newest_detail(site, "POST /waivers/{waiver_id}/revoke").startswith(
            "revoked: vulnerability CVE-2026-7"
        )
        assert browser.send_form("/waivers/new", key="l", owner="ana").status_code == 422
        assert _get_newest_detail(site, "POST /waivers/new") == ""
        browser.send_form("/running/web", desired_count="3")
        assert _get_newest_detail(site, "POST /running/{name}").endswith("-> 3")
        browser.send_form("/running/web/restart")
        assert _get_newest_detail(site, "POST /running/{name}/restart").startswith("new tasks for revision ")


def test_calls_that_only_start_or_end_something_say_what(site: Site) -> None:
    server = site.server
    server.post("/principals", {"name": "lee", "roles": ["viewer"]})
    server.post("/principals/lee/disable", {})
    assert _get_newest_detail(site, "POST /api/v1/principals/{name}/disable") == "disabled: viewer"
    server.post("/principals/lee/enable", {})
    assert _get_newest_detail(site, "POST /api/v1/principals/{name}/enable") == "enabled: viewer"
    verdict = server.get(f"/images/{site.approved_image}")["verdicts"][0]["digest"]
    link = server.post(f"/verdicts/{verdict}/link", {})
    assert _get_newest_detail(site, "POST /api/v1/verdicts/{digest}/link") == f"link until {link['expires_at']}"
    server.client.delete(f"/verdicts/{verdict}/link").raise_for_status()
    assert _get_newest_detail(site, "DELETE /api/v1/verdicts/{digest}/link") == "all links revoked"
    assert link["url"].partition("signature=")[2] not in str(server.get("/audit"))
    server.post("/gc/plan", {})
    assert re.fullmatch(r"planned: \d+ images? and .+ to remove", _get_newest_detail(site, "POST /api/v1/gc/plan"))
    collection = server.post("/gc", {})
    assert _get_newest_detail(site, "POST /api/v1/gc") == f"collection {collection['seq']}"
    server.apply("kind: Rule\nname: audited\npattern: {source: [none]}\ntargets: [log]\n")
    server.client.delete("/rules/audited").raise_for_status()
    assert _get_newest_detail(site, "DELETE /api/v1/rules/{name}") == "removed: version 1, to log"


def test_a_retry_says_which_attempts_it_started(site: Site) -> None:
    server = site.server
    execution = server.request_approval(site.rejected_image)
    server.end_scan(site.rejected_image)
    assert server.answer(execution) == "Rejected"
    server.post(f"/executions/{execution}/retry", {})
    expected = "started again: ContainerVulnerabilityAssessment/Approval, attempt 2"
    assert _get_newest_detail(site, "POST /api/v1/executions/{execution_id}/retry") == expected


def test_a_refused_rejection_changed_nothing(site: Site) -> None:
    server = site.server
    execution = server.request_approval(site.rejected_image)
    path = f"/approvals/{execution}/ContainerVulnerabilityAssessment/Approval/1/reject"
    assert server.client.post(path, json={"token": "wrong", "reason": "no"}).status_code >= 400
    assert _get_newest_detail(site, "POST /api/v1/approvals/{approval_id}/reject") == ""


def test_signing_in_and_out_says_so(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        assert _get_newest_detail(site, "POST /signin") == "session started"
        browser.send_form("/signout")
        assert _get_newest_detail(site, "POST /signout") == "session ended"


# They answer a text as one types, and change nothing.
WITHOUT_CHANGE = {"POST /definitions/check"}


def test_every_call_with_an_audit_entry_describes_it(site: Site) -> None:
    """In its own code, or in that of the functions of `web/` that it names."""
    silent_routes = {
        f"{method} {route.path}"
        for route in site.server.app.routes
        if isinstance(route, APIRoute) and is_audited(route)
        for method in route.methods or ()
        if method not in ("GET", "HEAD") and not can_describe(route.endpoint)
    }
    assert silent_routes - WITHOUT_CHANGE == set()


def is_audited(route: APIRoute) -> bool:
    return any(guard.permission is not Permission.READ for guard in list_permissions(route.dependant))


def list_names(code: CodeType) -> set[str]:
    """The names that a function uses, in the functions inside it too."""
    inner_codes = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(list_names, inner_codes))


def can_describe(call: Any) -> bool:
    """Return whether a call, or a function of `web/` that it names, describes its audit entry."""
    waiting_calls, seen_calls = [call], set()
    while waiting_calls:
        function = waiting_calls.pop()
        if function in (note_change, describe_call, Push):  # a push describes its entry while it runs
            return True
        if function in seen_calls:
            continue
        seen_calls.add(function)
        own_modules = [value for value in function.__globals__.values() if inspect.ismodule(value)]
        for name in list_names(function.__code__):
            values = [function.__globals__.get(name), *(getattr(module, name, None) for module in own_modules)]
            waiting_calls += [
                value
                for value in values
                if value is Push or (inspect.isfunction(value) and value.__module__.startswith("dockgate.web."))
            ]
    return False
