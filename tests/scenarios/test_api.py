"""The API's own manners: what it refuses, how it tells, and that it is documented."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

NOTHING = "sha256:" + "0" * 64


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param) as system:
        yield system


@limit_to_sqlite("server")
def test_filters_of_images_may_be_repeated_and_other_parameters_may_not(server: ServerSystem) -> None:
    several = "severity=CRITICAL&severity=HIGH&status=Rejected&status=Undetermined"
    assert server.get(f"/images?{several}")["images"] == []
    response = server.client.get(f"/images?{several}&limit=1&limit=2")
    assert response.status_code == 400
    assert "limit" in response.text


@limit_to_sqlite("server")
def test_a_body_that_can_be_read_in_two_ways_is_refused(server: ServerSystem) -> None:
    body = '{"name": "eve", "roles": ["viewer"], "roles": ["admin"]}'
    answer = server.client.post("/principals", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "the key 'roles' twice" in answer.json()["error"]
    assert server.get("/principals") == []


@limit_to_sqlite("server")
def test_every_call_has_a_description_and_a_response_schema(server: ServerSystem) -> None:
    document = server.get("/openapi.json")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 20
    for operation in operations:
        code, good = next(item for item in operation["responses"].items() if item[0].startswith("2"))
        assert operation.get("description"), operation["operationId"]
        assert {"401", "403", "422"} <= set(operation["responses"]), operation["operationId"]
        assert (
            code == "204"
            or next(iter(good["content"].values()))["schema"]
            or operation["operationId"].startswith(("get_case", "get_document"))
        )


@limit_to_sqlite("server")
def test_scripts_of_other_origins_are_refused(server: ServerSystem) -> None:
    url = f"{server.url}/api/v1/apply"
    document = "kind: Repository\nname: theirs\n"
    assert slow_http.post(url, content=document, headers={"Origin": "https://example.org"}).status_code == 403
    assert slow_http.post(url, content=document, headers={"Host": "example.org"}).status_code == 400
    assert "theirs" not in [repository["name"] for repository in server.get("/repositories")]
    assert slow_http.post(url, content=document, headers={"Origin": server.url}).status_code == 200


@limit_to_sqlite("server")
def test_an_endless_body_is_refused(server: ServerSystem) -> None:
    def send_endlessly() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * (1 << 20)

    answer = slow_http.post(f"{server.url}/api/v1/executions/none-1/stop", content=send_endlessly())
    assert answer.status_code == 413
    assert "body" in answer.json()["error"]


@limit_to_sqlite("server")
def test_a_notification_without_the_secret_is_refused(server: ServerSystem) -> None:
    image = server.plan_image("unsigned", PlannedFindings())
    assert server.notify_push(image, "forged", secret="guess").status_code == 403
    assert all(entry["digest"] != image for entry in server.get("/images?limit=1000")["images"])


@limit_to_sqlite("server")
def test_errors_have_advice(server: ServerSystem) -> None:
    cases = {
        "/pipelines/none": 404,
        "/executions/none-1": 404,
        f"/images/{NOTHING}": 404,
        "/verdicts/sha256:0": 422,
        f"/verdicts/{NOTHING}": 404,
    }
    for path, status in cases.items():
        answer = slow_http.get(f"{server.url}/api/v1{path}")
        assert answer.status_code == status
        assert answer.json()["error"]
        assert answer.json()["advice"]
    wrong = slow_http.post(f"{server.url}/api/v1/apply?name=mine.yaml", content="kind: Repository\nnmae: x\n")
    assert wrong.status_code == 400
    assert wrong.json()["error"].startswith("mine.yaml:2: nmae")


@limit_to_sqlite("server")
def test_a_person_can_reject_once_with_the_token_and_cannot_approve(server: ServerSystem) -> None:
    image = server.plan_image("by-hand", PlannedFindings())
    execution = server.request_approval(image)
    approval = f"{execution}/ContainerVulnerabilityAssessment/Approval/1"
    url = f"{server.url}/api/v1/approvals/{approval}"
    assert "token" not in server.get("/approvals")[0]
    token = server.get(f"/approvals/{approval}")["token"]
    body = {"reason": "not on a Friday", "who": "Ada"}
    assert slow_http.post(f"{url}/reject", json={**body, "token": "guess"}).status_code == 403
    for reason in ("", " \n"):
        assert slow_http.post(f"{url}/reject", json={**body, "token": token, "reason": reason}).status_code == 400
    assert slow_http.post(f"{url}/reject", json={**body, "token": token}).status_code == 200
    assert slow_http.post(f"{url}/reject", json={**body, "token": token}).status_code == 409
    assert slow_http.post(f"{url}/approve", json={**body, "token": token}).status_code in (404, 405)
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Failed")
    assert "not on a Friday" in server.get(f"/executions/{execution}")["execution"]["reason"]
    server.end_scan(image)


@limit_to_sqlite("server")
def test_a_stopped_execution_cancels_its_approval_and_can_be_retried(server: ServerSystem) -> None:
    image = server.plan_image("stopped", PlannedFindings())
    execution = server.request_approval(image)
    server.post(f"/executions/{execution}/stop", {"reason": "wrong branch"})
    view = server.get(f"/executions/{execution}")
    assert view["execution"]["state"] == "Stopped"
    assert view["stages"][2]["actions"][0]["approval"]["state"] == "Cancelled"
    server.end_scan(image)
    server.post(f"/executions/{execution}/retry")
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")


def test_starting_twice_with_one_key_starts_once(server: ServerSystem) -> None:
    image = server.plan_image("keyed", PlannedFindings())
    server.end_scan(image)
    url = f"{server.url}/api/v1/pipelines/keyed/executions"
    first, second = (slow_http.post(url, headers={"Idempotency-Key": "one"}).json() for _ in range(2))
    assert first["id"] == second["id"]
    wait_until(lambda: server.get(f"/executions/{first['id']}")["execution"]["state"] == "Succeeded")


@limit_to_sqlite("server")
def test_an_older_execution_never_replaces_what_a_newer_one_deployed(server: ServerSystem) -> None:
    image = server.plan_image("ordered", PlannedFindings())
    older, newer = server.request_approval(image), server.request_approval(image)
    token = server.get(f"/approvals/{older}/ContainerVulnerabilityAssessment/Approval/1")["token"]
    reject = {"token": token, "reason": "later", "who": "Ada"}
    server.post(f"/approvals/{older}/ContainerVulnerabilityAssessment/Approval/1/reject", reject)
    server.end_scan(image)
    wait_until(lambda: server.get(f"/executions/{newer}")["execution"]["state"] == "Succeeded")
    server.post(f"/executions/{older}/retry")
    wait_until(lambda: server.get(f"/executions/{older}")["execution"]["state"] == "Failed")
    superseded_execution = server.get(f"/executions/{older}")
    assert "superseded" in superseded_execution["execution"]["reason"]
    assert superseded_execution["superseded_by"] == newer
    assert server.get(f"/executions/{newer}")["superseded_by"] is None
    assert server.is_running(image)


@limit_to_sqlite("server")
def test_another_artifact_in_the_registry_is_not_listed_as_a_failed_scan(server: ServerSystem) -> None:
    image = server.plan_image("chart", PlannedFindings(status="ARTIFACT"))
    server.end_scan(image)
    wait_until(lambda: server.get("/images?repository=chart/app")["images"][0]["scan"] == "NotAnImage", seconds=20)
    execution = server.request_approval(image)
    assert server.answer(execution) == "Rejected"
    assert "not a container image" in server.read_summary(execution)
