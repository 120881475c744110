"""Promises of the server as a whole, each broken by nothing less than a change of its meaning."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate import rules
from dockgate.gate.replay import case_file
from dockgate.scanner import ecosystems
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest

pytestmark = limit_to_sqlite("server")


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param) as system:
        yield system


def test_a_verdict_is_replayed_identically_after_a_database_update(server: ServerSystem) -> None:
    image = server.plan_image("replayed", PlannedFindings({"HIGH": 2, "MEDIUM": 3}, unfixable={"LOW": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    (record,) = server.get(f"/images/{image}")["verdicts"]
    server.publish_advisory(image)

    def read_document(digest: str) -> bytes:
        return slow_http.get(f"{server.url}/api/v1/documents/{digest}").content

    stored_verdict = read_document(record["digest"])
    case_json = json.dumps(server.get(f"/verdicts/{record['digest']}/case")).encode()
    recorded_case = case_file.read(case_json, "the server's answer")
    for name in ("policy", "snapshot", "waivers"):
        digest = getattr(recorded_case.verdict.inputs, name)
        assert compute_digest(read_document(digest)) == digest
    replay = case_file.replay(recorded_case, ecosystems.load(), rules.load())
    assert replay.differences == ()
    assert canonical.encode(replay.verdict) == stored_verdict
    assert compute_digest(stored_verdict) == record["digest"]
    assert server.get(f"/verdicts/{record['digest']}/explanation")["replay"]["is_same"]


def test_comparing_two_verdicts_names_the_new_advisory(server: ServerSystem) -> None:
    image = server.plan_image("compared", PlannedFindings({"MEDIUM": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Approved"
    server.publish_advisory(image)
    second_approval = server.request_approval(image)
    assert server.answer(second_approval) == "Rejected"
    later, *_, first = (record["digest"] for record in server.get(f"/images/{image}")["verdicts"])
    explanation = server.get(f"/verdicts/{first}/explanation?against={later}")["explanation"]
    assert (explanation["before"], explanation["after"]) == ("Approved", "Rejected")
    assert [change["input"] for change in explanation["changes"] if change["is_status_changed"]] == ["advisories"]
    assert [change["input"] for change in explanation["changes"]] == ["advisories", "time"]
    assert len(explanation["changes"][0]["effect"]["added"]) == 1


def test_a_pipeline_without_an_approval_deploys_nothing(server: ServerSystem) -> None:
    image = server.plan_image("ungated", PlannedFindings())
    server.end_scan(image)
    pipeline_text = PIPELINE.format(name="ungated", repository="ungated", service="ungated", timeout="1d")
    head, _, later_stages = pipeline_text.partition("  - name: ContainerVulnerabilityAssessment\n")
    server.apply(head + later_stages[later_stages.index("  - name: Deploy\n") :])
    execution = server.post("/pipelines/ungated/executions")["id"]
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Failed")
    assert "only approved digests run" in server.get(f"/executions/{execution}")["execution"]["reason"]
    assert server.get("/services/ungated")["tasks"] == []


def test_an_unknown_policy_is_refused_with_the_list_of_policies(server: ServerSystem) -> None:
    server.plan_image("lax", PlannedFindings())
    document = PIPELINE.format(name="lax", repository="lax", service="lax", timeout="1d")
    answer = slow_http.post(
        f"{server.url}/api/v1/apply",
        content=document.replace("timeout: 1d", "timeout: 1d\n        policy: anything-goes"),
    )
    assert answer.status_code == 400
    assert "ContainerVulnerabilityAssessment/Approval" in answer.text
    assert "default" in answer.text


def test_notifications_of_waiting_approvals_have_no_token(server: ServerSystem) -> None:
    image = server.plan_image("notified", PlannedFindings())
    execution = server.request_approval(image)
    approval = f"{execution}/ContainerVulnerabilityAssessment/Approval/1"
    token = server.get(f"/approvals/{approval}")["token"]
    server.end_scan(image)
    wait_until(lambda: server.get(f"/approvals/{approval}")["state"] != "Waiting")
    newest_number = server.store.event_log.read_newest_seq()
    wait_until(lambda: server.store.event_cursor.read_position() >= newest_number)
    assert server.list_notifications("approval.needed") == {}, "no person has to act"
    assert token not in repr(server.store.event_log.read(0, 10_000))
