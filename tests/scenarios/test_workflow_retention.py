"""Workflows that have ended are deleted after a day, and what they did is not done again."""

import base64
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import MetaData, String, Table, column, func, insert, select, table
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.model import ExecutionId
from dockgate.store.engine import Database
from dockgate.workflows.engine import DELETE_BATCH
from dockgate.workflows.queues import SLOTS, WorkKind


@pytest.fixture(params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path, database=request.param) as system:
        yield system


def get_schema(database: Database) -> str | None:
    """The schema of the tables of dbos."""
    return None if database.is_sqlite else "dbos"


def delete_until(server: ServerSystem, is_done: Callable[[], bool]) -> None:
    """Delete ended workflows, as the server does, until this is so."""

    def is_done_after_deletion() -> bool:
        server.workflow_retention.run()
        return is_done()

    wait_until(is_done_after_deletion)


def count(database: Database, name: str = "workflow_status") -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table(name, schema=get_schema(database)))) or 0


def list_keys(server: ServerSystem) -> set[str]:
    """The keys of all workflows."""
    return set(read_states(server))


def read_states(server: ServerSystem) -> dict[str, str]:
    """The states of all workflows by their keys."""
    database = server.store.database
    columns = column("workflow_uuid", String), column("status", String)
    workflows = table("workflow_status", *columns, schema=get_schema(database))
    with database.read() as connection:
        rows = connection.execute(select(*workflows.c)).all()
    return {name.removeprefix(f"{server.store.id}/"): state for name, state in rows}


def add_workflow_of_later_version(server: ServerSystem, key: str) -> None:
    """Add a workflow that waits like the one of this key, of a kind that this version does not know."""
    database = server.store.database
    workflows = Table("workflow_status", MetaData(), autoload_with=database.engine, schema=get_schema(database))
    is_copied = workflows.c.workflow_uuid == f"{server.store.id}/{key}"
    with database.write() as connection:
        row = connection.execute(select(workflows).where(is_copied)).mappings().one()
        later = {"workflow_uuid": f"{server.store.id}/later", "name": "later-kind"}
        connection.execute(insert(workflows), {**row, **later})


def test_only_what_may_start_again_stays(server: ServerSystem) -> None:
    done_image, waits, builds = (server.plan_image(name, PlannedFindings()) for name in ("done", "waits", "builds"))
    server.deploy_image(done_image)
    server.request_approval(waits)
    is_building, may_build = threading.Event(), threading.Event()

    def hang(_moment: str) -> None:
        is_building.set()
        may_build.wait(240)

    server.builder.fault = hang
    server.post("/pipelines/builds/executions")
    is_building.wait(60)
    assert "done-1/Build/Build/1" in list_keys(server)
    server.clock.ahead += timedelta(days=2)
    delete_until(server, lambda: "done-1/Build/Build/1" not in list_keys(server))
    assert "builds-1/Build/Build/1" in list_keys(server)
    may_build.set()
    server.end_scan(builds)
    wait_until(lambda: server.store.executions.get(ExecutionId("builds-1")).state == "Succeeded", seconds=120)
    delete_until(server, lambda: count(server.store.database) == 0)
    assert count(server.store.database, "operation_outputs") == 0
    server.end_scan(waits)
    wait_until(lambda: server.store.executions.get(ExecutionId("waits-1")).state == "Succeeded", seconds=120)
    assert [key.partition("-")[0] for key in server.builder.builds] == ["done", "waits", "builds"]
    assert all(server.is_running(image) for image in (done_image, waits, builds))


@limit_to_sqlite("server")
def test_a_stopped_build_leaves_the_queue_that_no_worker_takes(server: ServerSystem) -> None:
    server.plan_image("shop", PlannedFindings())
    text = PIPELINE.format(name="shop", repository="shop", service="shop", timeout="7d")
    server.apply(text.replace("        type: build\n", "        type: build\n        labels: {arch: riscv}\n"))
    execution = server.post("/pipelines/shop/executions")["id"]
    wait_until(lambda: read_states(server).get("shop-1/Build/Build/1") == "ENQUEUED")
    add_workflow_of_later_version(server, "shop-1/Build/Build/1")
    server.post(f"/executions/{execution}/stop", {"reason": "not needed"})
    server.clock.ahead += timedelta(days=2)
    delete_until(server, lambda: len(read_states(server)) == 1)
    assert read_states(server) == {"later": "ENQUEUED"}
    assert server.builder.builds == []


@limit_to_sqlite("server")
def test_a_build_that_is_stopped_before_it_begins_is_not_made(server: ServerSystem) -> None:
    server.plan_image("shop", PlannedFindings())
    slots = SLOTS[WorkKind.BUILD]
    building, may_build = threading.Semaphore(0), threading.Event()

    def hang(moment: str) -> None:
        building.release()
        may_build.wait(240)

    server.builder.fault = hang
    for _ in range(slots):
        server.post("/pipelines/shop/executions")
        assert building.acquire(timeout=60)
    execution = server.post("/pipelines/shop/executions")["id"]
    key = f"{execution}/Build/Build/1"
    wait_until(lambda: key in read_states(server))  # in the queue, or taken from it to wait for a slot
    server.post(f"/executions/{execution}/stop", {"reason": "not needed"})
    may_build.set()
    wait_until(lambda: read_states(server)[key] in ("CANCELLED", "SUCCESS"), seconds=60)
    assert len(server.builder.builds) <= slots
    assert not [tag for tag in server.builder.builds if tag.startswith(f"{execution}-")]


@limit_to_sqlite("server")
def test_ids_in_stored_results_are_plain_text(server: ServerSystem) -> None:
    """Results are pickled: a type of ours in them would have to stay importable under its name."""
    server.deploy_image(server.plan_image("shop", PlannedFindings()))
    database = server.store.database
    outputs = table("operation_outputs", column("output", String), schema=get_schema(database))
    with database.read() as connection:
        results = [base64.b64decode(text) for text in connection.scalars(select(outputs.c.output)) if text]
    assert any(b"shop-1" in result for result in results)
    assert not [result for result in results if b"ExecutionId" in result or b"ApprovalId" in result]


def add_ended_workflows(database: Database, number: int) -> None:
    """Add copies of a workflow that has ended, with the results of its steps."""
    with database.write() as connection:
        statuses, outputs = (
            Table(name, MetaData(), autoload_with=connection, schema=get_schema(database))
            for name in ("workflow_status", "operation_outputs")
        )
        workflow = connection.scalar(select(func.min(outputs.c.workflow_uuid)))
        for table in (statuses, outputs):
            row = connection.execute(select(table).where(table.c.workflow_uuid == workflow).limit(1)).mappings().one()
            connection.execute(insert(table), [{**row, "workflow_uuid": f"{workflow}/{i}"} for i in range(number)])


@limit_to_sqlite("server")
def test_workflows_of_several_batches_shrink_to_none(server: ServerSystem) -> None:
    server.deploy_image(server.plan_image("shop", PlannedFindings()))
    database = server.store.database
    add_ended_workflows(database, 2 * DELETE_BATCH + 1)
    assert count(database) > 2 * DELETE_BATCH
    server.clock.ahead += timedelta(days=2)
    delete_until(server, lambda: count(database) == 0)
    assert count(database, "operation_outputs") == 0


def test_a_server_deletes_workflows_and_old_approvals_by_itself(tmp_path: Path) -> None:
    with ServerSystem(tmp_path, sweep_seconds=0.1) as server:  # it deletes in every 30th round
        server.deploy_image(server.plan_image("shop", PlannedFindings()))
        assert count(server.store.database)
        assert server.get("/approvals")
        server.clock.ahead += timedelta(days=91)
        wait_until(lambda: count(server.store.database) == 0 and not server.get("/approvals"), seconds=240)
