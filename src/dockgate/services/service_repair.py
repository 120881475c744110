"""Keeping services as they should be: missing tasks are started, unhealthy and stopped ones are restarted."""

import logging
import threading
from collections.abc import Mapping, Sequence

from dockgate.delivery.deployments import FAILED_CHECKS, TaskHealth, has_expected_tasks, observe_task
from dockgate.delivery.model import Service, ServiceEvent, Task, TaskDefinition, TaskState
from dockgate.events.ports import Notice
from dockgate.services.dependencies import Dependencies
from dockgate.services.notifications import notification_entries
from dockgate.shared.errors import DockgateError

_log = logging.getLogger(__name__)


class ServiceRepair:
    """`locks` has a lock for each service: its tasks are changed by one thread at a time. What is seen of the health
    of tasks is kept in memory only."""

    def __init__(self, parts: Dependencies, locks: Mapping[str, threading.Lock]) -> None:
        self._parts = parts
        self._store = parts.store
        self._locks = locks
        self._health: dict[str, dict[str, TaskHealth]] = {}

    def converge(self, name: str) -> None:
        """Make the tasks agree with the service's revision and desired count, and look at their health.

        Does nothing while the service is being deployed. Waits for the health of tasks only where some were missing.
        """
        if not self._locks[name].acquire(blocking=False):
            return
        try:
            if any(rollout.service == name for rollout in self._store.rollouts.in_progress()):
                return
            service = self._store.services.get(name)
            definition = self._store.services.definition(name, service.revision)
            if not definition.image:
                return
            target = self._parts.targets[service.target]
            tasks = target.tasks(name)
            if has_expected_tasks(service, definition, tasks):
                self._check_health(service, definition, tasks)
            else:
                target.deploy(service, definition, definition)
        finally:
            self._locks[name].release()

    def _check_health(self, service: Service, definition: TaskDefinition, tasks: Sequence[Task]) -> None:
        known, self._health[service.name] = self._health.get(service.name, {}), {}
        for task in tasks:
            health, should_restart = observe_task(known.get(task.id, TaskHealth()), task, self._parts.clock())
            self._health[service.name][task.id] = health
            if should_restart:
                self._restart(service, definition, task)

    def _restart(self, service: Service, definition: TaskDefinition, task: Task) -> None:
        try:
            is_restarted = self._parts.targets[service.target].restart(service.name, task.id)
            outcome = "restarted" if is_restarted else "left to the target, which replaces unhealthy tasks itself"
        except DockgateError as error:
            outcome = f"could not be restarted: {error}"
        self._announce(service, task, f"task {task.id} {outcome}: {_reason(definition, task)}")

    def _announce(self, service: Service, task: Task, message: str) -> None:
        """Keep the restart as an event of the service, and tell every notifier."""
        now = self._parts.now()
        _log.warning("%s: %s", service.name, message)
        event = ServiceEvent(f"restart/{service.name}/{task.id}/{now}", service.name, now, message)
        notice = Notice(
            key=event.key,
            kind="Task Restarted",
            title=f"{service.name}: an unhealthy task was restarted",
            body=f"{message}\n`dockgate deploy show {service.name}` shows the tasks.",
            detail={"service": service.name, "task": task.id, "revision": task.revision, "image": task.digest},
        )
        self._store.services.record_event(event, notification_entries(notice, self._parts.notifiers, now))


def _reason(definition: TaskDefinition, task: Task) -> str:
    """Why the task was restarted."""
    if task.state is TaskState.STOPPED:
        return task.reason or "it stopped"
    check = definition.health_check
    if check is None:
        return task.reason or "it is not healthy"
    what = " ".join(check.command) if check.command else f"GET {check.http_path} on port {check.http_port}"
    return f"{FAILED_CHECKS} health checks in a row failed ({what})"
