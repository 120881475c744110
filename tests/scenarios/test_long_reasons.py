"""Reasons that are longer than the field of a page are refused, by each call that takes one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role

LONG = "x" * 401
REFUSAL = "the reason has 401 characters"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("reasons"))) as server:
        yield Site(server)


def find_approval(site: Site, state: str) -> str:
    name: str = site.server.get(f"/approvals?state={state}")[0]["id"]
    return name


@pytest.mark.parametrize(
    ("state", "call", "fields"),
    [
        ("Waiting", "vote", {"is_yes": True}),
        ("Waiting", "reject", {"token": "x"}),
        ("Rejected", "override", {"until": "2999-01-01"}),
    ],
)
def test_a_decision_with_a_long_reason_is_refused(site: Site, state: str, call: str, fields: dict[str, object]) -> None:
    path = f"/approvals/{find_approval(site, state)}/{call}"
    answer = site.server.client.post(path, json={**fields, "reason": LONG})
    assert (answer.status_code, answer.json()["error"]) == (400, REFUSAL)


def test_an_execution_is_not_stopped_for_a_long_reason(site: Site) -> None:
    answer = site.server.client.post("/executions/api-1/stop", json={"reason": LONG})
    assert (answer.status_code, answer.json()["error"]) == (400, REFUSAL)
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        assert REFUSAL[1:] in browser.send_form("/executions/api-1/stop", reason=LONG).text


def test_a_message_is_not_dismissed_for_a_long_reason(site: Site) -> None:
    body = {"kind": "webhook", "receiver": "ci.example", "keys": None, "reason": LONG}
    answer = site.server.client.post("/deliveries/dismiss", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, REFUSAL)
    dismissal = site.server.client.post("/deliveries/dismiss", json={**body, "reason": LONG[1:]})
    assert (dismissal.status_code, dismissal.json()) == (200, {"count": 0})
