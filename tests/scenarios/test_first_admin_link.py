"""The link by which the first administrator is added: used once, by a form, and expiring."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios import slow_http
from tests.scenarios.browser import FROM_PAGE, Browser
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import FIRST_ADMIN_LINK_MINUTES
from dockgate.services.identity.first_admin import LINK_PATH, FirstAdmin


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as server:
        yield server


def link(server: ServerSystem) -> str:
    secret = server.services.access.first_admin.create_link()
    assert secret
    return f"{LINK_PATH}?key={secret}"


def _get_key(address: str) -> str:
    return address.partition("=")[2]


def test_the_link_makes_an_administrator_whose_token_is_shown_once(server: ServerSystem) -> None:
    with Browser(server) as browser:
        address = link(server)
        key = _get_key(address)
        form = browser.get(address)
        assert (form.status_code, form.headers["cache-control"]) == (200, "no-store")
        assert form.headers["referrer-policy"] == "same-origin"  # the address of the link has its secret
        assert f'name="key" value="{key}"' in form.text
        wrong = browser.send_form(LINK_PATH, key=key, name="a b", email="")
        assert ".</bdi></a> " in wrong.text
        assert wrong.status_code == 422
        assert 'value="a b"' in wrong.text
        assert f'name="key" value="{key}"' in wrong.text
        response = browser.send_form(LINK_PATH, key=key, name="ada", email="ada@example.org")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        tokens = re.findall(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}", response.text)
        assert tokens
        assert browser.get("/api/v1/caller").json()["name"] == "ada"
        answer = slow_http.get(f"{server.url}/api/v1/principals", headers={"Authorization": f"Bearer {tokens[0]}"})
        assert [(entry["name"], entry["roles"], entry["email"]) for entry in answer.json()] == [
            ("ada", ["admin"], "ada@example.org")
        ]
        assert tokens[0] not in browser.get("/people/ada").text
        entries = browser.get("/api/v1/audit?by=ada").json()
        assert (f"POST {LINK_PATH}", 200, LINK_PATH) in {
            (entry["call"], entry["status"], entry["subject"]) for entry in entries
        }
    assert server.client.get("/status").status_code == 401


def test_opening_the_link_does_not_use_it_up(server: ServerSystem) -> None:
    address = link(server)
    with Browser(server) as scanner, Browser(server) as ada:
        for _ in range(2):
            assert scanner.get(address).status_code == 200
            assert scanner.head(address).status_code in (200, 405)
        assert ada.send_form(LINK_PATH, key=_get_key(address), name="ada", email="").status_code == 200
        assert scanner.get(address).status_code == 403
        assert scanner.send_form(LINK_PATH, key=_get_key(address), name="eve", email="").status_code == 403
        assert [principal.name for principal in server.store.principals.list()] == ["ada"]


@pytest.mark.parametrize("key", ["", "x" * 43])
def test_the_form_needs_the_secret_of_the_link(server: ServerSystem, key: str) -> None:
    link(server)
    with Browser(server) as browser:
        assert browser.get(LINK_PATH).status_code == 403
        assert browser.send_form(LINK_PATH, key=key, name="eve", email="").status_code == 403
    assert not server.store.principals.has_any()


def test_the_link_expires(server: ServerSystem) -> None:
    with Browser(server) as browser:
        address = link(server)
        browser.get(address)
        server.clock.ahead += timedelta(minutes=FIRST_ADMIN_LINK_MINUTES, seconds=1)
        assert browser.get(address).status_code == 403
        assert browser.send_form(LINK_PATH, key=_get_key(address), name="eve", email="").status_code == 403
        assert not server.store.principals.has_any()


def test_a_newer_link_ends_an_older_one(server: ServerSystem) -> None:
    with Browser(server) as browser:
        old, new = link(server), link(server)
        assert browser.get(old).status_code == 403
        assert browser.get(new).status_code == 200


def test_there_is_no_link_once_there_is_a_principal(server: ServerSystem) -> None:
    address = link(server)
    token = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
    assert server.services.access.first_admin.create_link() is None
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
        key = _get_key(link(server))
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert browser.post(LINK_PATH, data={"key": key, "name": "eve"}, headers=headers).status_code == 403
        assert not server.store.principals.has_any()
        assert browser.post(LINK_PATH, data={"key": key, "name": "ada"}, headers=FROM_PAGE).status_code == 200


def test_wrong_keys_of_the_first_admin_link_are_limited(server: ServerSystem) -> None:
    with Browser(server) as browser:
        statuses = [browser.get(f"{LINK_PATH}?key={'x' * 43}").status_code for _ in range(25)]
    assert statuses[0] == 403
    assert statuses[-1] == 429


def test_the_store_has_no_secret_of_a_link(server: ServerSystem, tmp_path: Path) -> None:
    first_admin: FirstAdmin = server.services.access.first_admin
    secret = first_admin.create_link()
    assert secret
    for file in tmp_path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert secret.encode() not in content
