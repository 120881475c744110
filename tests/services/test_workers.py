"""Workers are drained and removed by admins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, NOW

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.pipeline import plan_next
from dockgate.identity.model import LOCAL, Caller, Principal, ProjectRole, Role
from dockgate.services.server_status import read_server_status
from dockgate.services.workers import WorkersStatus
from dockgate.services.workflow_starter import UnservedQueue
from dockgate.store.records import Worker


@pytest.fixture(params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path, database=request.param) as server:
        yield server


def test_a_server_is_a_worker_that_serves_all_queues(server: ServerSystem) -> None:
    status = server.get("/workers")
    assert [worker["state"] for worker in status["workers"]] == ["Active"]
    assert set(status["workers"][0]["queues"]) == {"build", "deploy", "control", "scan", "deliver", "upkeep"}
    assert status["unserved"] == server.get("/status")["unserved"] == []


def test_a_queue_whose_only_worker_drains_is_named(server: ServerSystem) -> None:
    (worker,) = server.get("/workers")["workers"]
    assert server.client.post(f"/workers/{worker['id']}/drain").status_code == 204
    assert {queue["name"] for queue in server.get("/workers")["unserved"]} >= {"build", "deploy"}


def test_a_limited_caller_reads_neither_labels_nor_numbers_of_the_queues(server: ServerSystem) -> None:
    """They are those of the pipelines of others."""
    queues = [UnservedQueue("build", 3), UnservedQueue("build[team=bravo]", 2)]
    principal = Principal("ann", (), project_roles=(ProjectRole(Role.VIEWER, "alpha*"),))
    services = server.services
    upkeep = replace(services.upkeep, workers=_FixedWorkers(queues))  # type: ignore[arg-type]

    def read_unserved(caller: Caller) -> Sequence[UnservedQueue]:
        return read_server_status(services.addresses, services.fleet, upkeep, services.store, caller).unserved

    assert read_unserved(Caller(LOCAL)) == queues
    assert read_unserved(Caller(principal)) == [UnservedQueue("build", None)]


@dataclass(frozen=True)
class _FixedWorkers:
    queues: Sequence[UnservedQueue]

    def read_status(self) -> WorkersStatus:
        return WorkersStatus((), self.queues)


def test_a_build_says_which_worker_it_waits_for(server: ServerSystem) -> None:
    build = Action("Build", ActionType.BUILD, labels={"arch": "arm64", "zone": "a"})
    server.store.pipelines.put(Pipeline("arm", (Stage("Build", (build,)),)), NOW)
    execution = server.store.executions.start("arm", "push", {}, NOW).id
    server.store.executions.advance(execution, plan_next, NOW)

    def read_reason() -> str | None:
        ((action,),) = [stage["actions"] for stage in server.get(f"/executions/{execution}")["stages"]]
        assert action["state"] == "InProgress"
        reason: str | None = action["reason"]
        return reason

    assert str(read_reason()).startswith("waits for a worker with arch=arm64,zone=a: no worker has these labels")
    labels = {"arch": "arm64", "zone": "a", "gpu": "yes"}
    server.store.workers.add(Worker("node7", "node7", "1", ("build",), labels, started_at=NOW, seen_at=NOW))
    assert read_reason() is None


def test_a_worker_is_removed_only_where_others_can_take_over(server: ServerSystem) -> None:
    (worker,) = server.get("/workers")["workers"]
    answer = server.client.post(f"/workers/{worker['id']}/remove")
    if server.store.database.is_sqlite:
        assert answer.status_code == 409
        assert "dockgate down" in answer.json()["advice"]
    else:
        assert answer.status_code == 204


def test_an_unknown_worker_is_not_found(server: ServerSystem) -> None:
    answer = server.client.post("/workers/unknown/drain")
    assert (answer.status_code, answer.json()["advice"]) == (404, "`dockgate worker list` lists them all.")
