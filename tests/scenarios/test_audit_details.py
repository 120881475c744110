"""The audit log says what each call changed, whether it was made by the API or by a page."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role

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
