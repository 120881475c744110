"""Changed services on a running server: applied, rolled out, rolled back, and kept healthy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.target import MemoryTarget
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import SERVICE
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

pytestmark = limit_to_sqlite("server")


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param, sweep_seconds=0.5) as system:
        yield system


@pytest.fixture
def target(server: ServerSystem) -> MemoryTarget:
    target = server.services.delivery.targets["podman"]
    assert isinstance(target, MemoryTarget)
    return target


def make_document(name: str, addition: str = "") -> str:
    return SERVICE.format(name=name, count=1) + addition


def apply(server: ServerSystem, text: str) -> Any:
    answer = server.client.post("/apply", content=text)
    assert answer.is_success, answer.text
    return answer.json()


def wait_for_end(server: ServerSystem, name: str, number: int) -> Any:
    def find_ended_rollout() -> Any:
        rollout = server.get(f"/services/{name}/rollouts/{number}")
        return rollout if rollout["state"] != "InProgress" else None

    return wait_until(find_ended_rollout, seconds=20)


def read_environment(server: ServerSystem, name: str) -> Any:
    view = server.get(f"/services/{name}")
    (definition_of_revision,) = [
        definition for definition in view["definitions"] if definition["revision"] == view["service"]["revision"]
    ]
    return definition_of_revision["environment"]


def test_a_changed_service_is_rolled_out_once(server: ServerSystem) -> None:
    image = server.plan_image("changed", PlannedFindings())
    server.deploy_image(image)
    text = make_document("changed", "  environment: {FEATURE: 'on'}\n")
    change = apply(server, text)
    assert (change["change"], change["rollout"]) == ("updated", 1)
    rollout = wait_for_end(server, "changed", 1)
    assert (rollout["state"], rollout["started_by"]) == ("Succeeded", "local")
    assert read_environment(server, "changed") == {"FEATURE": "on"}
    assert server.is_running(image)
    second_change = apply(server, text)
    assert (second_change["change"], second_change["rollout"]) == ("unchanged", None)


def test_limits_of_tasks_are_rolled_out_and_shown(server: ServerSystem) -> None:
    server.deploy_image(server.plan_image("limited", PlannedFindings()))
    text = make_document("limited", "  memory: 512\n  pidsLimit: 100\n")
    assert apply(server, text)["rollout"] == 1
    assert wait_for_end(server, "limited", 1)["state"] == "Succeeded"
    definition = server.get("/services/limited")["definitions"][0]
    assert (definition["memory"], definition["pids_limit"]) == (512, 100)
    with Browser(server) as browser:
        assert "Each task is limited to 512 MiB of memory, 100 processes." in browser.get("/running/limited").text
    assert apply(server, text)["change"] == "unchanged"


@pytest.mark.slow
def test_an_unhealthy_change_is_rolled_back(server: ServerSystem, target: MemoryTarget) -> None:
    image = server.plan_image("sick", PlannedFindings())
    server.deploy_image(image)
    before = server.get("/services/sick")
    text = make_document("sick", "  environment: {FEATURE: 'on'}\n")
    target.unhealthy_revisions.add(before["service"]["revision"] + 1)
    apply(server, text)
    rollout = wait_for_end(server, "sick", 1)
    assert rollout["state"] == "Failed"
    assert "did not become healthy" in rollout["reason"]
    after = server.get("/services/sick")
    assert (after["service"], after["tasks"]) == (before["service"], before["tasks"])
    target.unhealthy_revisions.clear()
    assert apply(server, text)["rollout"] == 2
    assert wait_for_end(server, "sick", 2)["state"] == "Succeeded"


def test_a_scale_that_can_never_run_is_refused_and_changes_nothing(server: ServerSystem) -> None:
    image = server.plan_image("fixed", PlannedFindings())
    server.deploy_image(image)
    apply(server, make_document("fixed").replace("containerPort: 8080", "containerPort: 8080, hostPort: 18080"))
    wait_for_end(server, "fixed", 1)
    before = server.get("/services/fixed")
    response = server.client.post("/services/fixed/scale", json={"desired_count": 2})
    assert response.status_code == 400
    assert "share one hostPort" in response.json()["error"]
    assert server.get("/services/fixed") == before


@pytest.mark.slow
def test_a_scale_that_does_not_become_healthy_changes_nothing(server: ServerSystem, target: MemoryTarget) -> None:
    image = server.plan_image("small", PlannedFindings())
    server.deploy_image(image)
    before = server.get("/services/small")
    target.room = 2
    rollout = server.post("/services/small/scale", {"desired_count": 3})["rollout"]
    assert "The desired count stays 1" in wait_for_end(server, "small", rollout["number"])["reason"]
    target.room = 1000
    after = server.get("/services/small")
    assert (after["service"], after["tasks"]) == (before["service"], before["tasks"])


def test_a_hung_task_is_restarted_and_notified(server: ServerSystem, target: MemoryTarget) -> None:
    image = server.plan_image("hung", PlannedFindings())
    server.deploy_image(image)
    (task,) = server.get("/services/hung")["tasks"]
    target.hang_task(task["id"])
    wait_until(lambda: server.get("/services/hung")["events"], seconds=20, every=0.5)
    (event,) = server.get("/services/hung")["events"]
    assert "health checks in a row failed" in event["message"]
    (message,) = wait_until(lambda: server.list_notifications("service.unhealthy"), seconds=20).values()
    assert message.title == "hung: an unhealthy task was restarted"
    assert event["message"] in message.text
    assert server.is_running(image)
