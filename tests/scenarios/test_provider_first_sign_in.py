"""The first person to sign in by an identity provider, no provider, and one that does not answer."""

from pathlib import Path

import httpx
from tests.scenarios.browser import Browser
from tests.scenarios.provider_site import ProviderSite
from tests.scenarios.server import ServerSystem

from dockgate.services.identity.provider_sign_in import RETURN_PATH


def test_the_first_to_sign_in_must_be_an_admin(tmp_path: Path) -> None:
    site = ProviderSite(tmp_path)
    with site.server as server, Browser(server) as browser:
        answer = site.sign_in(browser, site.add_person("ada", "developers"))
        assert "must be an admin" in answer.text
        assert server.get("/caller")["name"] == "local"
        assert site.sign_in(browser, site.add_person("ada", "admins")).status_code == 303
        assert browser.get("/api/v1/caller").json()["name"] == "ada@example.org"
        assert server.client.get("/status").status_code == 401
        answer = site.sign_in(browser, site.add_person("ada", "developers"))
        assert "last administrator" in answer.text


def test_without_a_provider_there_is_no_way_to_one(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server, Browser(server) as browser:
        assert "/signin/provider" not in browser.get("/signin").text
        assert browser.get("/signin/provider").status_code == 404
        assert browser.get(RETURN_PATH).status_code == 404


def test_a_provider_that_does_not_answer_is_named_on_a_page(tmp_path: Path) -> None:
    site = ProviderSite(tmp_path)
    with site.server as server, Browser(server) as browser:
        site.fake.answers["/.well-known/openid-configuration"] = httpx.Response(500)
        answer = browser.get("/signin/provider")
        assert answer.status_code == 502
        assert "identity provider" in answer.text
        assert answer.headers["content-type"].startswith("text/html")
