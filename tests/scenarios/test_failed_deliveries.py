"""Deliveries that were given up: people find them from the overview, and send them again."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import FROM_PAGE, Browser, Forms
from tests.scenarios.server import ServerSystem
from tests.store.factories import make_approval

from dockgate.delivery.model import Answer, ApprovalState
from dockgate.delivery.webhook_delivery import Callback, make_secret
from dockgate.shared.errors import MessageRefusedError

REDELIVER = "/events/deliveries/redeliver"
DISMISS = "/events/deliveries/dismiss"
API_CALL = "/api/v1/deliveries/redeliver"
OTHERS = ("viewer", "developer", "approver", "security")


class RefusingWebhooks:
    """Webhooks whose receivers refuse every message until `is_open`."""

    def __init__(self) -> None:
        self.is_open = False
        self.called_urls: list[str] = []

    def check(self, url: str) -> None:
        pass

    def call(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        if not self.is_open:
            raise MessageRefusedError("the receiver is not allowed")
        self.called_urls.append(url)


@pytest.fixture
def webhooks() -> RefusingWebhooks:
    return RefusingWebhooks()


@pytest.fixture
def server(tmp_path: Path, webhooks: RefusingWebhooks) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path, webhooks=webhooks) as system:
        admin = system.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
        system.client.headers["Authorization"] = f"Bearer {admin}"
        for name in ("one", "two"):
            approval = make_approval(f"external/{name}", expires_at="2999-01-01T00:00:00.000Z")
            system.store.approvals.add(approval, Callback(f"https://ci.example/{name}", make_secret("s", approval.id)))
            answer = Answer(ApprovalState.REJECTED, "1 CRITICAL", None)
            assert system.store.approvals.settle(approval.id, answer, system.services.clock.now())
        wait_until(lambda: len(list_given_up(system)) == 2)
        yield system


def list_given_up(server: ServerSystem) -> list[str]:
    return [entry["key"] for entry in server.get("/deliveries?state=given-up&kind=webhook")]


def issue_token(server: ServerSystem, name: str, **person: object) -> str:
    server.post("/principals", {"name": name, "roles": [], **person})
    text: str = server.post("/tokens", {"principal": name})["text"]
    return text


def make_fields(key: str) -> dict[str, str]:
    return {"kind": "webhook", "receiver": "ci.example", "key": key}


def test_the_overview_leads_to_a_callback_that_was_given_up_and_to_sending_it_again(
    server: ServerSystem, webhooks: RefusingWebhooks
) -> None:
    token = server.post("/tokens", {"principal": "ada"})["text"]
    with Browser(server, token) as browser:
        (link,) = (link for link in Forms(browser.get("/").text).links if "deliveries" in link)
        page = browser.get(link)
        assert "the receiver is not allowed" in page.text
        assert "/approvals/external/one" in Forms(page.text).links
        assert REDELIVER in Forms(page.text).actions
        webhooks.is_open = True
        answer = browser.send_form(REDELIVER, **make_fields("external/one"))
        assert answer.status_code == 303
        assert "1 message is sent again" in browser.get(answer.headers["location"]).text
        wait_until(lambda: webhooks.called_urls == ["https://ci.example/one"])
        assert list_given_up(server) == ["external/two"]
        repetition = browser.send_form(REDELIVER, **make_fields("external/one"))
        assert repetition.status_code == 409
        assert "was not given up" in repetition.text
        all_again = browser.send_form(REDELIVER, kind="webhook", receiver="ci.example")
        assert "1 message is sent again" in browser.get(all_again.headers["location"]).text
        for query in ("", "?count=3"):  # once, and never by a link
            assert "sent again. <a" not in browser.get(f"{all_again.headers['location']}{query}").text
        wait_until(lambda: webhooks.called_urls == ["https://ci.example/one", "https://ci.example/two"])
        assert not [link for link in Forms(browser.get("/").text).links if "deliveries" in link]
        assert browser.send_form(REDELIVER, kind="smoke", receiver="ci.example").status_code == 400
    entries = [entry for entry in server.get("/audit?by=ada") if entry["call"] == f"POST {REDELIVER}"]
    assert sorted((entry["status"], entry["detail"] or "") for entry in entries) == [
        (303, "1 of webhook to ci.example sent again"),
        (303, "1 of webhook to ci.example sent again"),
        (400, ""),
        (409, ""),
    ]


def test_the_call_sends_a_message_again_once(server: ServerSystem, webhooks: RefusingWebhooks) -> None:
    webhooks.is_open = True
    body = {"kind": "webhook", "receiver": "ci.example", "keys": ["external/two"]}
    assert server.post("/deliveries/redeliver", body) == {"count": 1}
    repetition = server.client.post("/deliveries/redeliver", json=body)
    assert repetition.status_code == 409, repetition.text
    wait_until(lambda: webhooks.called_urls == ["https://ci.example/two"])
    unknown = {**body, "keys": ["external/one", "no such"]}
    assert server.client.post("/deliveries/redeliver", json=unknown).status_code == 409
    assert list_given_up(server) == ["external/one"]
    assert webhooks.called_urls == ["https://ci.example/two"]


def test_only_an_unlimited_admin_sends_again(server: ServerSystem, webhooks: RefusingWebhooks) -> None:
    webhooks.is_open = True
    body = {"kind": "webhook", "receiver": "ci.example", "keys": None}
    for role in OTHERS:
        with Browser(server, issue_token(server, role, roles=[role])) as browser:
            page = browser.get("/events/deliveries")
            assert "the receiver is not allowed" in page.text
            assert REDELIVER not in Forms(page.text).actions
            assert browser.send_form(REDELIVER, **make_fields("external/one")).status_code == 403
            assert browser.post(API_CALL, json=body, headers=FROM_PAGE).status_code == 403
        assert len(list_given_up(server)) == 2


def test_a_role_for_some_repositories_and_a_token_to_read_neither_see_nor_send_more_than_they_may(
    server: ServerSystem, webhooks: RefusingWebhooks
) -> None:
    webhooks.is_open = True
    body = {"kind": "webhook", "receiver": "ci.example", "keys": None}
    limited_token = issue_token(server, "lea", project_roles=[{"role": "admin", "repositories": "components/*"}])
    read_token = server.post("/tokens", {"principal": "ada", "scopes": ["read"]})["text"]
    with Browser(server, limited_token) as browser:
        assert browser.get("/events/deliveries").status_code == 403
        assert "ci.example" not in browser.get("/settings").text
        assert browser.get("/api/v1/deliveries").status_code == 403
    with Browser(server, read_token) as browser:
        assert REDELIVER not in Forms(browser.get("/events/deliveries").text).actions
    for token in (limited_token, read_token):
        with Browser(server, token) as browser:
            assert browser.send_form(REDELIVER, **make_fields("external/one")).status_code == 403
            assert browser.post(API_CALL, json=body, headers=FROM_PAGE).status_code == 403
    assert len(list_given_up(server)) == 2


def test_a_form_of_another_site_sends_nothing(server: ServerSystem, webhooks: RefusingWebhooks) -> None:
    webhooks.is_open = True
    token = server.post("/tokens", {"principal": "ada"})["text"]
    with Browser(server, token) as browser:
        headers = {**FROM_PAGE, "Sec-Fetch-Site": "cross-site"}
        assert browser.post(REDELIVER, data=make_fields("external/one"), headers=headers).status_code == 403
    assert len(list_given_up(server)) == 2


def test_a_delivery_to_a_receiver_that_is_gone_is_dismissed_and_stays_on_record(
    server: ServerSystem, webhooks: RefusingWebhooks
) -> None:
    token = server.post("/tokens", {"principal": "ada"})["text"]
    with Browser(server, token) as browser:
        assert DISMISS in Forms(browser.get("/events/deliveries").text).actions
        assert browser.send_form(DISMISS, **make_fields("external/one"), reason=" ").status_code == 400
        answer = browser.send_form(DISMISS, **make_fields("external/one"), reason="<b>switched off</b>")
        assert answer.status_code == 303
        page = browser.get(answer.headers["location"]).text
        assert "1 message dismissed." in page
        assert "/approvals/external/one" not in Forms(page).links
        page = browser.get("/events/deliveries?state=dismissed").text
        assert "/approvals/external/one" in Forms(page).links
        assert "&lt;b&gt;switched off&lt;/b&gt;" in re.sub("</?(wbr|bdi)[^>]*>", "", page)
        assert browser.send_form(DISMISS, **make_fields("external/one"), reason="x").status_code == 409
        assert browser.send_form(DISMISS, **make_fields("no such"), reason="x").status_code == 409
    assert list_given_up(server) == ["external/two"]
    assert [entry["key"] for entry in server.get("/deliveries")] == ["external/two"]
    (delivery,) = server.get("/deliveries?state=dismissed")
    assert (delivery["key"], delivery["dismissed_by"]) == ("external/one", "ada")
    assert delivery["dismissal_reason"] == "<b>switched off</b>"
    details = [entry["detail"] for entry in server.get("/audit?by=ada") if entry["call"] == f"POST {DISMISS}"]
    assert "1 of webhook to ci.example dismissed: <b>switched off</b>" in details
    body = {"kind": "webhook", "receiver": "ci.example", "keys": None}
    assert server.post("/deliveries/dismiss", {**body, "reason": "all of it"}) == {"count": 1}
    with Browser(server, token) as browser:
        assert not [link for link in Forms(browser.get("/").text).links if "deliveries" in link]
    webhooks.is_open = True
    assert server.post("/deliveries/redeliver", body) == {"count": 0}  # dismissed ones are sent by their keys alone
    assert server.post("/deliveries/redeliver", {**body, "keys": ["external/one"]}) == {"count": 1}
    wait_until(lambda: webhooks.called_urls == ["https://ci.example/one"])
    assert [entry["key"] for entry in server.get("/deliveries?state=dismissed")] == ["external/two"]


@pytest.mark.parametrize(
    ("action", "fields", "outcome"),
    [(DISMISS, {"reason": "gone"}, "1 message dismissed"), (REDELIVER, {}, "1 message is sent again")],
)
def test_a_form_that_is_sent_twice_acts_once_and_tells_it_both_times(
    server: ServerSystem, action: str, fields: dict[str, str], outcome: str
) -> None:
    token = server.post("/tokens", {"principal": "ada"})["text"]
    with Browser(server, token) as browser:
        for _ in range(2):
            answer = browser.send_form(action, form_key="k" * 32, **make_fields("external/one"), **fields)
            assert answer.status_code == 303, answer.text
            assert outcome in browser.get(answer.headers["location"]).text
    details = [entry["detail"] for entry in server.get("/audit?by=ada") if entry["call"] == f"POST {action}"]
    assert sorted(details)[-1] == "sent again: the answer of the first form"
