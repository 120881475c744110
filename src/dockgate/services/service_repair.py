"""Repair of services: missing tasks are started, unhealthy and stopped tasks are restarted."""

import logging
from collections.abc import Mapping, Sequence

from dockgate.delivery.deployments import FAILED_CHECKS, TaskHealth, has_expected_tasks, observe_task
from dockgate.delivery.model import Service, ServiceEvent, Task, TaskDefinition, TaskState
from dockgate.delivery.ports import Target
from dockgate.events.ports import Notice
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Effects, Step
from dockgate.services.notifications import Notifications
from dockgate.services.rollouts import ServiceLocks
from dockgate.shared.errors import DockgateError
from dockgate.store import Store

_log = logging.getLogger(__name__)


class ServiceRepair:
    """Repairs services. The health of tasks is remembered in memory only."""

    def __init__(
        self,
        store: Store,
        targets: Mapping[str, Target],
        notifications: Notifications,
        locks: ServiceLocks,
        clock: ServerClock,
        effects: Effects,
    ) -> None:
        self._store = store
        self._targets = targets
        self._notifications = notifications
        self._locks = locks
        self._clock = clock
        self._effects = effects
        self._health: dict[str, dict[str, TaskHealth]] = {}

    def repair_all(self) -> None:
        """Repair every service. One that cannot be repaired does not block the others."""
        for service in self._store.services.list():
            try:
                self._effects.run(Step.CONVERGE, self.repair, service.name)
            except DockgateError as error:
                _log.warning("%s: not all tasks are healthy: %s", service.name, error)

    def repair(self, name: str) -> None:
        """Make the tasks match the service's revision and desired count, and check their health.

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
            target = self._targets[service.target]
            tasks = target.tasks(name)
            if has_expected_tasks(service, definition, tasks):
                self._check_health(service, definition, tasks)
            else:
                target.deploy(service, definition, definition)
        finally:
            self._locks[name].release()

    def _check_health(self, service: Service, definition: TaskDefinition, tasks: Sequence[Task]) -> None:
        previous, self._health[service.name] = self._health.get(service.name, {}), {}
        for task in tasks:
            health, should_restart = observe_task(previous.get(task.id, TaskHealth()), task, self._clock())
            self._health[service.name][task.id] = health
            if should_restart:
                self._restart(service, definition, task)

    def _restart(self, service: Service, definition: TaskDefinition, task: Task) -> None:
        try:
            is_restarted = self._targets[service.target].restart(service.name, task.id)
            outcome = "restarted" if is_restarted else "left to the target, which replaces unhealthy tasks itself"
        except DockgateError as error:
            outcome = f"could not be restarted: {error}"
        self._announce(service, task, f"task {task.id} {outcome}: {_reason(definition, task)}")

    def _announce(self, service: Service, task: Task, message: str) -> None:
        """Keep the restart as an event of the service, and tell every notifier."""
        now = self._clock.now()
        _log.warning("%s: %s", service.name, message)
        event = ServiceEvent(f"restart/{service.name}/{task.id}/{now}", service.name, now, message)
        notice = Notice(
            key=event.key,
            kind="Task Restarted",
            title=f"{service.name}: an unhealthy task was restarted",
            body=f"{message}\n`dockgate deploy show {service.name}` shows the tasks.",
            detail={"service": service.name, "task": task.id, "revision": task.revision, "image": task.digest},
        )
        self._store.services.record_event(event, self._notifications.entries(notice))


def _reason(definition: TaskDefinition, task: Task) -> str:
    """Why the task was restarted."""
    if task.state is TaskState.STOPPED:
        return task.reason or "it stopped"
    check = definition.health_check
    if check is None:
        return task.reason or "it is not healthy"
    what = " ".join(check.command) if check.command else f"GET {check.http_path} on port {check.http_port}"
    return f"{FAILED_CHECKS} health checks in a row failed ({what})"
