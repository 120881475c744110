"""A target for tests: tasks are rows of a table, and healthy unless told otherwise."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dockgate.core.deploy import Deployment, Service, Task, TaskDefinition, TaskState
from dockgate.core.errors import DeployError, UnavailableError


class MemoryTarget:
    """`unhealthy` holds digests whose tasks never become healthy; `available` says whether the engine answers. Both may
    be changed at any time. `fault` is called with "before deploy", "before start", "after start", "before stop", "after
    deploy", "before remove" and "after remove", and may raise.
    """

    def __init__(self, unhealthy: Iterable[str] = (), fault: Callable[[str], None] = lambda moment: None) -> None:
        self.unhealthy = set(unhealthy)
        self.available = True
        self.started: list[str] = []
        """the id of every task that was started, as often as it was"""
        self._fault = fault
        self._tasks: dict[str, Task] = {}

    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Deployment:
        self._demand_available()
        self._fault("before deploy")
        digest = definition.image.partition("@")[2]
        if not digest:
            raise DeployError(f"{definition.image!r} of {service.name} names no digest", "Deploys are by digest.")
        if digest in self.unhealthy and service.desired_count:
            self._roll_back(service, definition, previous)
            raise DeployError(f"{service.name}: revision {definition.revision} did not become healthy")
        self._run(service, definition)
        self._fault("after deploy")
        return Deployment(service.name, definition.revision, tuple(self.tasks(service.name)))

    def tasks(self, service: str) -> Sequence[Task]:
        self._demand_available()
        return sorted((task for task in self._tasks.values() if task.service == service), key=lambda task: task.id)

    def remove(self, service: str) -> None:
        self._demand_available()
        self._fault("before remove")
        self._keep(service, set())
        self._fault("after remove")

    def end(self, task: str, reason: str = "exited with code 1") -> None:
        """What happens when a task's program ends by itself."""
        self._tasks[task] = replace(self._tasks[task], state=TaskState.STOPPED, reason=reason)

    def _roll_back(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> None:
        if previous is None or not previous.image:
            self._keep(service.name, set())
        elif previous.revision != definition.revision:
            self._run(service, previous)

    def _run(self, service: Service, definition: TaskDefinition) -> None:
        wanted = {f"{service.name}-{definition.revision}-{number}" for number in range(service.desired_count)}
        for name in sorted(wanted):
            found = self._tasks.get(name)
            if found is None or found.state is not TaskState.RUNNING:
                self._fault("before start")
                self._tasks[name] = Task(
                    id=name,
                    service=service.name,
                    revision=definition.revision,
                    state=TaskState.RUNNING,
                    digest=definition.image.partition("@")[2],
                    started_at="2026-11-24T10:00:00Z",
                    ports=tuple((port.container_port, port.host_port or 40_000) for port in definition.ports),
                )
                self.started.append(name)
                self._fault("after start")
        self._keep(service.name, wanted)

    def _keep(self, service: str, wanted: set[str]) -> None:
        for name in [task.id for task in self._tasks.values() if task.service == service and task.id not in wanted]:
            self._fault("before stop")
            del self._tasks[name]

    def _demand_available(self) -> None:
        if not self.available:
            raise UnavailableError("the engine does not answer", "Start it.")
