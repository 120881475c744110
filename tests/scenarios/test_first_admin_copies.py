"""The form of the first administrator that is sent several times: its sender gets a token that works."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from tests.scenarios import slow_http
from tests.scenarios.browser import FROM_PAGE, Browser
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_console_repeated_forms import FormFields

from dockgate.services.identity.first_admin import LINK_PATH, REPLACEMENT_MINUTES, REPLACEMENT_PATH

TOKEN = re.compile(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}")
COPIES = 3
FIELDS = {"/people": {"name": "ada", "role-admin": "yes"}, LINK_PATH: {"name": "ada"}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as server:
        yield server


@pytest.fixture
def browser(server: ServerSystem) -> Iterator[Browser]:
    with Browser(server) as browser:
        yield browser


def open_form(server: ServerSystem, browser: Browser, action: str) -> dict[str, str]:
    """The fields of a filled form."""
    secret = server.services.access.first_admin.create_link()
    page = browser.get(f"{LINK_PATH}?key={secret}" if action == LINK_PATH else action).text
    return {**FormFields(page, action).fields, **FIELDS[action]}


def send_copies(server: ServerSystem, action: str, form: dict[str, str]) -> list[httpx.Response]:
    """Send copies of a form at the same time, the answer with a token first."""
    gate = Barrier(COPIES)

    def send(_: int) -> httpx.Response:
        with Browser(server) as browser:
            gate.wait()
            return browser.send_form(action, **form)

    with ThreadPoolExecutor(COPIES) as pool:
        return sorted(pool.map(send, range(COPIES)), key=lambda answer: answer.status_code)


def read_status(server: ServerSystem, text: str) -> int:
    headers = {"Authorization": f"Bearer {TOKEN.findall(text)[0]}"}
    return slow_http.get(f"{server.url}/api/v1/principals", headers=headers).status_code


@pytest.mark.parametrize("action", FIELDS)
def test_a_copy_of_the_form_replaces_the_token_that_was_not_seen(
    server: ServerSystem, browser: Browser, action: str
) -> None:
    first, *copies = send_copies(server, action, open_form(server, browser, action))
    assert [answer.status_code for answer in (first, *copies)] == [200, *[409] * len(copies)]
    (text,) = set(TOKEN.findall(first.text))
    assert not any(TOKEN.search(copy.text) for copy in copies)
    assert all(text.split("_")[1] in copy.text for copy in copies)
    assert read_status(server, text) == 200
    replacements = send_copies(server, REPLACEMENT_PATH, FormFields(copies[-1].text, REPLACEMENT_PATH).fields)
    assert [answer.status_code for answer in replacements] == [200, *[409] * (COPIES - 1)]
    assert read_status(server, text) == 401
    last_answer = browser.send_form(REPLACEMENT_PATH, **FormFields(replacements[-1].text, REPLACEMENT_PATH).fields)
    assert last_answer.status_code == 200
    assert read_status(server, replacements[0].text) == 401
    assert read_status(server, last_answer.text) == 200
    assert browser.get("/api/v1/caller").json()["name"] == "ada"  # it is signed in
    assert [principal.name for principal in server.store.principals.list()] == ["ada"]
    assert (
        "It is revoked"
        in browser.send_form(REPLACEMENT_PATH, **FormFields(copies[-1].text, REPLACEMENT_PATH).fields).text
    )


@pytest.mark.parametrize("action", FIELDS)
def test_a_token_cannot_be_replaced_for_long(server: ServerSystem, browser: Browser, action: str) -> None:
    form = open_form(server, browser, action)
    first = browser.send_form(action, **form)
    with Browser(server) as other_browser:
        fields = FormFields(other_browser.send_form(action, **form).text, REPLACEMENT_PATH).fields
        server.clock.ahead += timedelta(minutes=REPLACEMENT_MINUTES, seconds=1)
        late = other_browser.send_form(action, **form)
        assert late.status_code == 409
        assert REPLACEMENT_PATH not in late.text
        assert "dockgate token create ada --local" in late.text
        assert other_browser.send_form(REPLACEMENT_PATH, **fields).status_code == 403
    assert read_status(server, first.text) == 200


@pytest.mark.parametrize("action", FIELDS)
def test_only_the_key_of_the_form_replaces_the_token(server: ServerSystem, browser: Browser, action: str) -> None:
    form = open_form(server, browser, action)
    first = browser.send_form(action, **form)
    with Browser(server) as other_browser:
        for key in ("", "x" * 32, form.get("key", "")):
            copy = other_browser.send_form(action, **{**form, "form_key": key})
            assert copy.status_code in (401, 403)
            assert "dgt_" not in copy.text
            assert REPLACEMENT_PATH not in copy.text
            answer = other_browser.send_form(REPLACEMENT_PATH, earlier=key, form_key="y" * 32)
            assert answer.status_code == 403
        fields = {"earlier": form["form_key"], "form_key": "y" * 32}
        headers = {**FROM_PAGE, "Sec-Fetch-Site": "cross-site"}
        assert other_browser.post(REPLACEMENT_PATH, data=fields, headers=headers).status_code == 403
    assert read_status(server, first.text) == 200
