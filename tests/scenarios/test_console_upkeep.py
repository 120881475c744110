"""What people remove and renew in the console: policies, rules, targets, VEX documents, keys, workers, old images."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.registry import push_image
from tests.parts import wait_until
from tests.scenarios.browser import FROM_PAGE, Browser, Forms
from tests.scenarios.console_site import HOSTILE, Site
from tests.scenarios.server import ServerSystem

from dockgate.delivery.retention import Retention
from dockgate.identity.model import Role
from dockgate.shared.digest import compute_digest
from dockgate.store.records import PushedImage, Worker

# Its tests share a server, and later ones change what earlier ones look at.

STATEMENT = {
    "vulnerability": {"name": "CVE-2026-9"},
    "products": [{"@id": "pkg:oci/web"}],
    "status": "not_affected",
    "justification": "vulnerable_code_not_present",
}
DOCUMENT = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://example.org/vex/1",
    "author": HOSTILE,
    "timestamp": "2026-11-01T00:00:00Z",
    "version": 1,
    "statements": [STATEMENT],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("upkeep"))) as server:
        yield Site(server)


@pytest.fixture
def admin(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


@pytest.fixture
def viewer(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        yield browser


def _press_button(browser: Browser, page: str, action: str, **fields: str) -> str:
    """Send a form that the page has. The page that it leads to, which says once what happened."""
    assert action in Forms(browser.get(page).text).actions, page
    answer = browser.send_form(action, **fields)
    assert answer.status_code == 303, answer.text
    outcome, later_page = (browser.get(answer.headers["location"]).text for _ in range(2))
    assert 'class="note" role="status"' in outcome, action
    assert 'class="note" role="status"' not in later_page, action
    return outcome


def _list_changes(site: Site, call: str) -> list[str]:
    return [entry["call"] for entry in site.server.get("/audit?by=ada") if entry["call"] == call]


def test_a_policy_is_removed_once_no_assignment_names_it(site: Site, admin: Browser, viewer: Browser) -> None:
    site.server.apply("kind: Policy\nname: brief\nrules:\n  max_findings: {CRITICAL: 0}\n")
    site.server.apply("kind: PolicyAssignment\nname: batch\npolicy: brief\nrepositories: ['batch/*']\n")
    remove, unassign = "/policies/brief/remove", "/policy-assignments/batch/remove"
    assert remove not in Forms(admin.get("/policies/brief").text).actions
    assert "first" in admin.get("/policies/brief").text
    in_use = admin.send_form(remove, version="1")
    assert in_use.status_code == 409
    assert "Assign these another policy first" in in_use.text
    assert unassign not in Forms(viewer.get("/policies").text).actions
    assert unassign not in _press_button(admin, "/policies", unassign)
    assert admin.send_form(remove, version="7").status_code == 412
    assert "/policies/brief" not in _press_button(admin, "/policies/brief", remove, version="1")
    assert remove not in Forms(admin.get("/policies/default").text).actions
    assert _list_changes(site, "POST /policies/{name}/remove")


def test_an_event_rule_and_its_target_are_removed(site: Site, admin: Browser, viewer: Browser) -> None:
    site.server.apply("kind: Target\nname: chat\ntype: pipeline\npipeline: web\n")
    rule = {"kind": "Rule", "name": "talk", "pattern": {"source": ["dockgate"]}, "targets": ["chat"]}
    site.server.apply(json.dumps(rule))
    assert Forms(viewer.get("/events/rules/talk").text).actions == {"/signout", "/events/rules/talk/test"}
    in_use = admin.send_form("/events/targets/chat/remove")
    assert in_use.status_code == 409
    assert "talk" in in_use.text
    assert "/events/rules/talk" not in _press_button(admin, "/events/rules/talk", "/events/rules/talk/remove")
    assert "/events/targets/chat" not in _press_button(admin, "/events/targets/chat", "/events/targets/chat/remove")


def test_a_target_page_names_the_outcome_of_its_forms(site: Site, admin: Browser) -> None:
    assert "The target accepted the test message." in _press_button(
        admin, "/events/targets/log", "/events/targets/log/test"
    )
    links = ("/events/targets/log?again=2", "/events/targets/log?tested=true", "/advisories?requested=true")
    for link in links:  # no link tells what a form did
        assert 'class="note"' not in admin.get(link).text


def test_what_the_server_makes_itself_cannot_be_removed_in_a_page(admin: Browser) -> None:
    assert "/events/rules/default/remove" not in Forms(admin.get("/events/rules/default").text).actions
    assert "state: disabled" in admin.get("/events/rules/default").text
    assert "/events/targets/log/remove" not in Forms(admin.get("/events/targets/log").text).actions


def test_a_vex_document_is_uploaded_and_removed(site: Site, admin: Browser, viewer: Browser) -> None:
    assert "Upload" not in viewer.get("/vex").text
    text = json.dumps(DOCUMENT)
    page = _press_button(admin, "/vex", "/vex", content=text)
    assert "<script>alert" not in page
    (document,) = site.server.get("/vex")
    assert document["signer"] == "principal:ada"
    action = f"/vex/{document['document']}/remove"
    assert action not in Forms(viewer.get("/vex").text).actions
    page_after_removal = _press_button(admin, "/vex", action)
    assert action not in Forms(page_after_removal).actions
    assert site.server.get("/vex")[0]["removed_by"] == "ada"


def test_a_vex_document_is_uploaded_as_a_file_byte_by_byte(site: Site, admin: Browser, viewer: Browser) -> None:
    data = json.dumps({**DOCUMENT, "@id": "https://example.org/vex/2"}, indent=2).replace("\n", "\r\n").encode()
    form: dict[str, Any] = {"data": {"content": ""}, "files": {"file": ("statement.json", data)}}
    assert viewer.post("/vex", **form, headers=FROM_PAGE).status_code == 403
    assert admin.post("/vex", **form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert admin.post("/vex", **form, headers=FROM_PAGE).status_code == 303
    assert compute_digest(data) in {document["document"] for document in site.server.get("/vex")}
    assert "statement.json" in admin.get("/audit").text


def test_a_wrong_file_is_refused_by_its_name_as_the_call_refuses_it(admin: Browser) -> None:
    wrong = json.dumps({**DOCUMENT, "author": "a\0"}).encode()
    for name, data, reason in (("a.json", b"{", "a.json"), ("b.json", wrong, "NUL"), ("", b"", "no document")):
        answer = admin.post("/vex", files={"file": (name, data)}, data={"content": ""}, headers=FROM_PAGE)
        assert answer.status_code == 422
        assert reason.lower() in answer.text.lower()
    answer = admin.post("/vex", files={"file": ("a.json", b" " * (9 << 20))}, headers=FROM_PAGE)
    assert "The request body exceeds" in answer.text


@pytest.mark.parametrize("content", ["", "{", '{"@context": "x"}', "[" * 5000])
def test_a_wrong_document_is_refused_and_stays_in_the_form(admin: Browser, content: str) -> None:
    answer = admin.send_form("/vex", content=content)
    assert answer.status_code == 422
    assert "The document was not uploaded" in answer.text
    assert "<title>Error:" in answer.text
    assert content.replace('"', "&#34;") in answer.text


def test_the_signing_key_is_shown_and_replaced_once_for_each_page(site: Site, admin: Browser, viewer: Browser) -> None:
    (current_key,) = site.server.get("/attestation-keys")["keys"]
    page = viewer.get("/attestation-keys").text
    assert current_key["pem"].strip() in page
    assert Forms(page).actions == {"/signout"}
    page = _press_button(admin, "/attestation-keys", "/attestation-keys", key=current_key["id"])
    assert "Former keys" in page
    page = _press_button(admin, "/attestation-keys", "/attestation-keys", key=current_key["id"])
    assert "Nothing was changed" in page
    assert len(site.server.get("/attestation-keys")["keys"]) == 2


def test_a_worker_is_drained(site: Site, admin: Browser, viewer: Browser) -> None:
    at = "2026-11-28T12:00:00.000Z"
    site.server.store.workers.add(Worker("w 1", "node-1", "1", ("build",), {"arch": "arm64"}, at, at))
    assert "arch=arm64" in viewer.get("/workers").text
    assert Forms(viewer.get("/workers").text).actions == {"/signout"}
    page = _press_button(admin, "/workers", "/workers/w%201/drain")
    assert "Draining" in page
    assert "/workers/w%201/drain" not in Forms(page).actions
    assert "Remove" not in page  # on SQLite there is no other worker to take its work
    assert admin.send_form("/workers/none/drain").status_code == 404


def test_settings_and_workers_name_a_queue_that_no_worker_serves(site: Site, viewer: Browser) -> None:
    workers = site.server.store.workers
    (own_worker,) = (worker for worker in workers.list() if worker.id == workers.own_id)
    workers.remove(own_worker.id)
    try:
        assert "no worker serves build" in viewer.get("/settings").text
        assert "dockgate worker --queues build" in viewer.get("/workers").text
    finally:
        workers.add(own_worker)


def test_garbage_is_shown_before_it_is_collected(site: Site, admin: Browser, viewer: Browser) -> None:
    assert viewer.get("/gc").status_code == 403
    site.server.use_cases.garbage_collection.registry_reader.retention = Retention(keep_days=30, keep_images=0)
    watch = "policy: default\nwatch: 1h after push\n"
    site.server.apply(f"kind: PolicyAssignment\nname: short\nrepositories: ['old/*']\n{watch}")
    digest = push_image(site.server.registry, "old/app", "1", b"old")
    site.server.store.images.add_push(PushedImage("old/app", "1", digest, "2020-01-01T00:00:00.000Z"))
    assert viewer.send_form("/gc/plan").status_code == 403
    first_plan = site.server.services.upkeep.collection_plans.make("server")
    assert digest in _press_button(admin, "/gc", "/gc/plan")
    plan = site.server.get("/gc/plan")
    assert plan["made_by"] == "ada"
    assert not site.server.get("/gc/runs")
    for wrong in ("", first_plan.made_at):  # another plan than the page showed, and none
        assert admin.send_form("/gc", plan=wrong).status_code == 412
    assert not site.server.get("/gc/runs")
    site.server.clock.ahead += timedelta(hours=5)
    assert "The plan is 5 h old" in admin.get("/gc").text
    _press_button(admin, "/gc", "/gc", plan=plan["made_at"])
    wait_until(lambda: site.server.get("/gc/runs")[0]["finished_at"])
    for number, status in ((1, 200), (2, 404), (10**20, 422)):
        assert site.server.client.get(f"/gc/runs/{number}").status_code == status
    assert "Succeeded" in admin.get("/gc").text
    wait_until(lambda: not site.server.get("/gc/plan")["is_outdated"])  # the server plans again after a collection
    assert digest not in admin.get("/gc").text


def test_a_stored_plan_is_not_carried_out_after_another_collection(site: Site, admin: Browser) -> None:
    plan = site.server.services.upkeep.collection_plans.make("ada")
    number = site.server.post("/gc")["seq"]
    wait_until(lambda: site.server.get(f"/gc/runs/{number}")["finished_at"])
    assert admin.send_form("/gc", plan=plan.made_at).status_code == 412
