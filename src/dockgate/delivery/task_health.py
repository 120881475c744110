"""When an unhealthy or stopped task is restarted: after three failed checks, then less and less often."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dockgate.delivery.deployments import Service, Task, TaskDefinition, TaskState

FAILED_CHECKS = 3
"""in a row, before a task that runs is restarted; ECS has the same default"""
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
"""between two restarts of one task; doubled with each restart"""


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """What was seen of one task. `failed_checks` counts those in a row, `restarts` those since the task last ran for as
    long as a pause. No restart comes before `next_restart`."""

    failed_checks: int = 0
    restarts: int = 0
    next_restart: datetime | None = None


def observe(health: TaskHealth, task: Task, now: datetime) -> tuple[TaskHealth, bool]:
    """Add what is seen of the task now. Return what is known since, and whether to restart the task."""
    if task.state is TaskState.RUNNING and _runs_for(task, now) >= _pause(health.restarts - 1):
        return TaskHealth(), False
    if task.state in (TaskState.RUNNING, TaskState.PENDING):
        return replace(health, failed_checks=0), False
    failed = health.failed_checks + 1
    is_paused = health.next_restart is not None and now < health.next_restart
    if is_paused or (task.state is TaskState.UNHEALTHY and failed < FAILED_CHECKS):
        return replace(health, failed_checks=failed), False
    return TaskHealth(0, health.restarts + 1, now + _pause(health.restarts)), True


def has_expected_tasks(service: Service, definition: TaskDefinition, tasks: Sequence[Task]) -> bool:
    """Whether the tasks that exist are those that the service should have, healthy or not, and each was started."""
    digest = definition.image.partition("@")[2]
    return len(tasks) == service.desired_count and all(
        task.revision == definition.revision and task.digest == digest and task.started_at for task in tasks
    )


def _pause(restarts: int) -> timedelta:
    """How long to wait after so many restarts before the next."""
    return min(FIRST_PAUSE * (1 << max(0, min(restarts, 10))), LONGEST_PAUSE)


def _runs_for(task: Task, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(task.started_at)
