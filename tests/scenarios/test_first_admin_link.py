"""The link by which the first administrator is added: used once, expiring, never in an address afterwards."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios import slow_http
from tests.scenarios.browser import FROM_PAGE, Browser
from tests.scenarios.server import ServerSystem

from dockgate.services.identity.first_admin import LINK_MINUTES, LINK_PATH, FirstAdmin

COOKIE = "dockgate-first-admin"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as server:
        yield server


def link(server: ServerSystem) -> str:
    secret = server.server.first_admin.create_link()
    assert secret
    return f"{LINK_PATH}?key={secret}"


def test_the_link_makes_an_administrator_whose_token_is_shown_once(server: ServerSystem) -> None:
    with Browser(server) as browser:
        address = link(server)
        opened = browser.get(address)
        assert (opened.status_code, opened.headers["location"]) == (303, LINK_PATH)
        assert opened.headers["cache-control"] == "no-store"
        cookie = opened.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        secret = address.partition("=")[2]
        assert secret not in opened.headers["set-cookie"]
        form = browser.get(LINK_PATH)
        assert form.status_code == 200
        assert secret not in form.text
        wrong = browser.send_form(LINK_PATH, name="a b", email="")
        assert ".</bdi></a> " in wrong.text
        assert wrong.status_code == 422
        assert 'value="a b"' in wrong.text
        done = browser.send_form(LINK_PATH, name="ada", email="ada@example.org")
        assert done.status_code == 200
        assert done.headers["cache-control"] == "no-store"
        tokens = re.findall(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}", done.text)
        assert tokens
        assert browser.get("/api/v1/caller").json()["name"] == "ada"
        answer = slow_http.get(f"{server.url}/api/v1/principals", headers={"Authorization": f"Bearer {tokens[0]}"})
        assert [(each["name"], each["roles"], each["email"]) for each in answer.json()] == [
            ("ada", ["admin"], "ada@example.org")
        ]
        assert tokens[0] not in browser.get("/people/ada").text
        entries = browser.get("/api/v1/audit?by=ada").json()
        assert (f"POST {LINK_PATH}", 200, LINK_PATH) in {
            (entry["call"], entry["status"], entry["subject"]) for entry in entries
        }
    assert server.client.get("/status").status_code == 401


def test_the_link_works_once_and_in_one_browser(server: ServerSystem) -> None:
    address = link(server)
    with Browser(server) as first, Browser(server) as second:
        first.get(address)
        assert second.get(address).status_code == 403
        assert second.get(LINK_PATH).status_code == 403
        assert second.send_form(LINK_PATH, name="eve", email="").status_code == 403
        second.cookies.set(COOKIE, address.partition("=")[2])  # the secret of the link is not that of the form
        assert second.send_form(LINK_PATH, name="eve", email="").status_code == 403
        assert first.send_form(LINK_PATH, name="ada", email="").status_code == 200
        assert first.send_form(LINK_PATH, name="eve", email="").status_code == 403
        assert first.get("/people/eve").status_code == 404


def test_two_forms_at_once_make_one_administrator(server: ServerSystem) -> None:
    with Browser(server) as browser:
        browser.get(link(server))
        secret = browser.cookies[COOKIE]
        assert server.server.first_admin.add(secret, "ada", "")
        browser.cookies.set(COOKIE, secret)
        assert browser.send_form(LINK_PATH, name="eve", email="").status_code == 403
        assert [each.name for each in server.store.principals.list()] == ["ada"]


def test_the_link_expires(server: ServerSystem) -> None:
    with Browser(server) as browser:
        opened, unopened = link(server), ""
        browser.get(opened)
        server.clock.ahead += timedelta(minutes=LINK_MINUTES, seconds=1)
        assert browser.send_form(LINK_PATH, name="eve", email="").status_code == 403
        unopened = link(server)
        server.clock.ahead += timedelta(minutes=LINK_MINUTES, seconds=1)
        assert browser.get(unopened).status_code == 403
        assert not server.store.principals.has_any()


def test_a_newer_link_ends_an_older_one(server: ServerSystem) -> None:
    with Browser(server) as browser:
        old, new = link(server), link(server)
        assert browser.get(old).status_code == 403
        assert browser.get(new).status_code == 303


def test_there_is_no_link_once_there_is_a_principal(server: ServerSystem) -> None:
    address = link(server)
    token = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
    assert server.server.first_admin.create_link() is None
    with Browser(server) as browser:
        answer = browser.get(address)
        assert answer.status_code == 403
        assert "not valid" in answer.text
        assert address.partition("=")[2] not in answer.text
    headers = {"Authorization": f"Bearer {token}"}
    entries = slow_http.get(f"{server.url}/api/v1/audit?by=unknown", headers=headers).json()
    assert [(entry["call"], entry["status"], entry["subject"]) for entry in entries] == [
        (f"GET {LINK_PATH}", 403, LINK_PATH)
    ]


def test_a_form_of_another_site_makes_no_administrator(server: ServerSystem) -> None:
    with Browser(server) as browser:
        browser.get(link(server))
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert browser.post(LINK_PATH, data={"name": "eve"}, headers=headers).status_code == 403
        assert not server.store.principals.has_any()
        assert browser.post(LINK_PATH, data={"name": "ada"}, headers=FROM_PAGE).status_code == 200


def test_guesses_are_limited(server: ServerSystem) -> None:
    with Browser(server) as browser:
        statuses = [browser.get(f"{LINK_PATH}?key={'x' * 43}").status_code for _ in range(25)]
    assert statuses[0] == 403
    assert statuses[-1] == 429


def test_the_store_has_no_secret_of_a_link(server: ServerSystem, tmp_path: Path) -> None:
    first_admin: FirstAdmin = server.server.first_admin
    secret = first_admin.create_link()
    assert secret
    new_secret = first_admin.exchange(secret)
    for file in tmp_path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert secret.encode() not in content
        assert new_secret.encode() not in content
