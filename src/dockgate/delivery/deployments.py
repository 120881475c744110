"""Check services before they change, and decide when to restart their tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dockgate.delivery.model import Execution
from dockgate.delivery.service_model import Service, Task, TaskDefinition, TaskState
from dockgate.shared.errors import DeployError, UsageError
from dockgate.shared.references import ImageReference
from dockgate.shared.retry import RetrySchedule
from dockgate.shared.timestamps import to_datetime

# Failed checks in a row before a running task is restarted; the default of ECS.
FAILED_CHECKS = 3
# Between two restarts of one task.
RESTARTS = RetrySchedule(first_pause=30, longest_pause=900)


def check_service(service: Service, definition: TaskDefinition) -> None:
    """Raise UsageError unless `service.desired_count` tasks of the definition can run at the same time."""
    ports = [port.host_port for port in definition.ports if port.host_port]
    if repeated_port := next((port for port in ports if ports.count(port) > 1), 0):
        raise UsageError(f"{service.name}: two ports have hostPort {repeated_port}", "Use each hostPort once, or 0.")
    if service.desired_count > 1 and definition.has_fixed_port:
        obstacle = "use the host's network" if definition.network == "host" else "share one hostPort"
        raise UsageError(
            f"{service.name}: {service.desired_count} tasks cannot {obstacle}",
            "Use the bridge network with hostPort 0, or a desired count of 1.",
        )


def require_image(service: str, definition: TaskDefinition) -> ImageReference:
    """The image to deploy. Raises DeployError before the first deployment."""
    if definition.image is None:
        raise DeployError(f"revision {definition.revision} of {service} has no image", "Run its pipeline first.")
    return definition.image


def check_not_superseded(execution: Execution, deployed_execution: Execution, service: str) -> None:
    """Raise DeployError if the service was deployed by a newer execution of the same pipeline."""
    if execution.pipeline == deployed_execution.pipeline and execution.number < deployed_execution.number:
        raise DeployError(
            f"superseded: {deployed_execution.id} has been deployed to {service} since",
            "To go back to this commit, push a commit that reverts the later ones.",
        )


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """The observed health of one task.

    `failed_checks` counts failures in a row, `restarts` the restarts since the task last ran as long as a pause.
    The task is not restarted before `next_restart`.
    """

    failed_checks: int = 0
    restarts: int = 0
    next_restart: datetime | None = None


def observe_task(health: TaskHealth, task: Task, now: datetime) -> tuple[TaskHealth, bool]:
    """Add the task's present state to its health. Returns the new health, and whether to restart the task."""
    is_running = task.state is TaskState.RUNNING
    uptime = now - to_datetime(task.started_at) if is_running and task.started_at else timedelta()
    if is_running and uptime >= _compute_pause(health.restarts - 1):
        return TaskHealth(), False
    if task.state in (TaskState.RUNNING, TaskState.PENDING):
        return replace(health, failed_checks=0), False
    failed_checks = health.failed_checks + 1
    is_paused = health.next_restart is not None and now < health.next_restart
    if is_paused or (task.state is TaskState.UNHEALTHY and failed_checks < FAILED_CHECKS):
        return replace(health, failed_checks=failed_checks), False
    return TaskHealth(0, health.restarts + 1, now + _compute_pause(health.restarts)), True


def has_expected_tasks(service: Service, definition: TaskDefinition, tasks: Sequence[Task]) -> bool:
    """Return whether exactly the tasks of this definition exist, healthy or not, and each was started."""
    digest = definition.image and definition.image.digest
    return len(tasks) == service.desired_count and all(
        task.revision == definition.revision and task.digest == digest and task.started_at for task in tasks
    )


def _compute_pause(restarts: int) -> timedelta:
    """Return how long to wait before the next restart."""
    return timedelta(seconds=RESTARTS.compute_pause(max(1, restarts + 1)))
