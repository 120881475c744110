"""Services are kept as they should be: missing tasks are started, unhealthy and stopped ones restarted and reported."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.pipeline_steps import NOW, Steps

from dockgate.delivery.deployments import FAILED_CHECKS
from dockgate.delivery.service_model import TaskState
from dockgate.shared.errors import DeployError


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    result = Steps(tmp_path)
    result.deploy_image("first")
    yield result
    result.system.close()


def list_reasons(steps: Steps) -> list[str]:
    events = steps.store.event_log.read(0, 1000)
    return [event.body["detail"]["reason"] for event in events if event.detail_type == "service.unhealthy"]


def test_a_hung_task_is_restarted_after_three_looks_and_reported(steps: Steps) -> None:
    (task,) = steps.target.list_tasks("web")
    steps.target.hang_task(task.id)
    for _ in range(FAILED_CHECKS - 1):
        steps.repair("web")
    assert steps.target.restarted_tasks == []
    steps.repair("web")
    assert steps.target.restarted_tasks == [task.id]
    assert [item.state for item in steps.target.list_tasks("web")] == [TaskState.RUNNING]
    (event,) = steps.store.services.list_events("web")
    assert event.message == f"task {task.id} restarted: 3 health checks in a row failed (GET / on port 8080)"
    assert list_reasons(steps) == [event.message]


def test_a_stopped_task_is_restarted_and_reported_with_its_reason(steps: Steps) -> None:
    (task,) = steps.target.list_tasks("web")
    steps.target.end(task.id, "exited with code 7")
    steps.repair("web")
    assert [item.state for item in steps.target.list_tasks("web")] == [TaskState.RUNNING]
    assert "exited with code 7" in list_reasons(steps)[0]


def test_healthy_tasks_are_left_alone(steps: Steps) -> None:
    started_tasks = list(steps.target.started_tasks)
    for _ in range(5):
        steps.repair("web")
    assert (steps.target.started_tasks, steps.target.restarted_tasks) == (started_tasks, [])
    assert list(steps.store.services.list_events("web")) == []


def test_a_missing_task_is_started(steps: Steps) -> None:
    steps.target.lose("web")
    steps.repair("web")
    assert steps.list_running_images() == ["first"]


def test_a_restart_that_the_engine_refuses_is_reported(steps: Steps) -> None:
    (task,) = steps.target.list_tasks("web")
    steps.target.end(task.id)

    def refuse() -> None:
        raise DeployError("no such container")

    steps.act_at("before restart", refuse)
    steps.repair("web")
    (event,) = steps.store.services.list_events("web")
    assert "could not be restarted: no such container" in event.message


def test_nothing_is_restarted_while_a_rollout_is_in_progress(steps: Steps) -> None:
    (task,) = steps.target.list_tasks("web")
    steps.target.end(task.id)
    steps.store.rollouts.begin("web", steps.change("  environment: {A: b}\n"), "ada", NOW)
    steps.repair("web")
    assert steps.target.restarted_tasks == []
