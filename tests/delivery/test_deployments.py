"""When tasks are restarted: after three failed checks in a row, at once when stopped, and less and less often."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dockgate.delivery.deployments import RESTARTS, TaskHealth, has_expected_tasks, observe_task
from dockgate.delivery.service_model import Service, Task, TaskDefinition, TaskState
from dockgate.shared.references import ImageReference

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
LOOK = timedelta(seconds=10)


def make_task(state: TaskState, start: datetime = START, revision: int = 2, digest: str = "sha256:1") -> Task:
    return Task("web-0", "web", revision, state, digest, start.isoformat())


def list_restarts(states: list[TaskState]) -> list[int]:
    """At which of the looks, ten seconds apart, the task is restarted."""
    health, restart_checks = TaskHealth(), []
    for number, state in enumerate(states):
        health, restart = observe_task(health, make_task(state), START + number * LOOK)
        restart_checks += [number] if restart else []
    return restart_checks


def test_three_failed_checks_in_a_row_restart_a_task() -> None:
    sick, well = TaskState.UNHEALTHY, TaskState.RUNNING
    assert list_restarts([sick, sick, well, sick, sick, sick]) == [5]
    assert list_restarts([well] * 10) == []


def test_a_stopped_task_is_restarted_at_once() -> None:
    assert list_restarts([TaskState.STOPPED]) == [0]


def test_a_task_that_starts_is_waited_for() -> None:
    assert list_restarts([TaskState.PENDING] * 30) == []


def test_a_task_that_stays_sick_is_restarted_less_and_less_often() -> None:
    restart_checks = list_restarts([TaskState.UNHEALTHY] * 600)
    pauses = [(after - before) * LOOK for before, after in pairwise(restart_checks)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(seconds=RESTARTS.longest_pause)


def test_a_task_that_ran_for_a_pause_is_restarted_soon_again() -> None:
    health = TaskHealth(restarts=4, next_restart=START + timedelta(minutes=4))
    recovered_health, _ = observe_task(health, make_task(TaskState.RUNNING), START + timedelta(minutes=4))
    assert recovered_health == TaskHealth()
    crashing, _ = observe_task(
        health, make_task(TaskState.RUNNING, START + timedelta(minutes=3)), START + timedelta(minutes=4)
    )
    assert crashing.restarts == 4


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([make_task(TaskState.RUNNING)], True),
        ([make_task(TaskState.STOPPED)], True),
        ([], False),
        ([make_task(TaskState.RUNNING)] * 2, False),
        ([make_task(TaskState.RUNNING, revision=1)], False),
        ([make_task(TaskState.RUNNING, digest="sha256:2")], False),
        ([Task("web-0", "web", 2, TaskState.PENDING, "sha256:1", None)], False),
    ],
)
def test_missing_surplus_and_foreign_tasks_are_noticed(tasks: list[Task], expected: bool) -> None:
    definition = TaskDefinition("web", 2, "app", ImageReference("registry/web", "sha256:1"))
    assert has_expected_tasks(Service("web", "podman", 1, 2), definition, tasks) is expected
