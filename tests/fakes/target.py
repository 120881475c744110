"""A target for tests: tasks are rows of a table, and healthy unless the test says otherwise."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dockgate.delivery.deployments import require_image
from dockgate.delivery.service_model import Probe, Service, Task, TaskDefinition, TaskState
from dockgate.shared.errors import DeployError, UnavailableError

PASSES = Probe(True, "HTTP/1.1 200 OK", "2026-11-24T10:00:01.000Z", 0.004, 0)


class MemoryTarget:
    """A target in memory, with faults that tests set.

    Tasks of digests in `unhealthy` and of revisions in `unhealthy_revisions` never become healthy; at most `room` tasks
    do; `available` says whether the engine answers. `fault` is called with "before deploy", "before start", "after
    start", "before stop", "after deploy", "before restart" and "after restart", and may raise. All of them may be
    changed at any time.
    """

    def __init__(self, unhealthy: Iterable[str] = (), fault: Callable[[str], None] = lambda moment: None) -> None:
        self.unhealthy = set(unhealthy)
        self.unhealthy_revisions: set[int] = set()
        self.room = 1000
        self.available = True
        # The id of every task that was started, as often as it was.
        self.started_tasks: list[str] = []
        # The id of every task that was restarted, as often as it was.
        self.restarted_tasks: list[str] = []
        self.fault = fault
        # The last run of the health check of tasks that hang.
        self.failed_probe = Probe(False, "no HTTP answer within 5 s", "2026-11-24T10:01:00.000Z", 5.0, 3)
        # By task: what it has written.
        self.logs: dict[str, str] = {}
        self._tasks: dict[str, Task] = {}

    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Sequence[Task]:
        self._require_available()
        self.fault("before deploy")
        digest = require_image(service.name, definition).digest
        is_unhealthy = digest in self.unhealthy or definition.revision in self.unhealthy_revisions
        if (is_unhealthy and service.desired_count) or service.desired_count > self.room:
            self._roll_back(service, definition, previous)
            raise DeployError(f"{service.name}: revision {definition.revision} did not become healthy")
        self._run(service, definition)
        self.fault("after deploy")
        return self.list_tasks(service.name)

    def list_tasks(self, service: str) -> Sequence[Task]:
        self._require_available()
        return sorted((task for task in self._tasks.values() if task.service == service), key=lambda task: task.id)

    def restart(self, service: str, task: str) -> bool:
        self._require_available()
        self.fault("before restart")
        present_task = self._tasks.get(task)
        if present_task is None or present_task.service != service:
            return False
        is_sick = present_task.digest in self.unhealthy
        state = TaskState.UNHEALTHY if is_sick else TaskState.RUNNING
        probe = present_task.probe and (self.failed_probe if is_sick else PASSES)
        self._tasks[task] = replace(present_task, state=state, reason=None, probe=probe)
        self.restarted_tasks.append(task)
        self.fault("after restart")
        return True

    def read_log(self, service: str, task: str, lines: int) -> str | None:
        self._require_available()
        if all(entry.id != task for entry in self.list_tasks(service)):
            return None
        return "".join(self.logs.get(task, "").splitlines(keepends=True)[-lines:])

    def lose(self, service: str) -> None:
        """What happens when a person removes the tasks of a service."""
        self._keep(service, set())

    def end(self, task: str, reason: str = "exited with code 1") -> None:
        """What happens when a task's program ends by itself."""
        self._tasks[task] = replace(self._tasks[task], state=TaskState.STOPPED, reason=reason)

    def hang_task(self, task: str) -> None:
        """The task's program answers its health check no more."""
        self._tasks[task] = replace(self._tasks[task], state=TaskState.UNHEALTHY, probe=self.failed_probe)

    def _roll_back(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> None:
        if previous is None or not previous.image:
            self._keep(service.name, set())
        else:
            self._run(replace(service, desired_count=min(service.desired_count, self.room)), previous)

    def _run(self, service: Service, definition: TaskDefinition) -> None:
        names = {f"{service.name}-{definition.revision}-{number}" for number in range(service.desired_count)}
        for name in sorted(names):
            task = self._tasks.get(name)
            if task is None or task.state is not TaskState.RUNNING:
                self.fault("before start")
                self._tasks[name] = Task(
                    id=name,
                    service=service.name,
                    revision=definition.revision,
                    state=TaskState.RUNNING,
                    digest=require_image(service.name, definition).digest,
                    started_at="2026-11-24T10:00:00Z",
                    ports=tuple((port.container_port, port.host_port or 40_000) for port in definition.ports),
                    probe=PASSES if definition.health_check else None,
                )
                self.started_tasks.append(name)
                self.fault("after start")
        self._keep(service.name, names)

    def _keep(self, service: str, names: set[str]) -> None:
        for name in [task.id for task in self._tasks.values() if task.service == service and task.id not in names]:
            self.fault("before stop")
            del self._tasks[name]

    def _require_available(self) -> None:
        if not self.available:
            raise UnavailableError("the engine does not answer", "Start it.")
