"""Services as containers of this host's podman, with the nouns of ECS."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from dockgate.delivery.deployments import require_image
from dockgate.delivery.ports import LOG_LIMIT, Target
from dockgate.delivery.service_model import HealthCheck, Service, Task, TaskDefinition, TaskState
from dockgate.delivery.targets._health import LastProbes, Outcome, probe_http
from dockgate.delivery.targets._podman import Container, Engine, Login
from dockgate.shared.addresses import LOOPBACK
from dockgate.shared.errors import DeployError
from dockgate.shared.interfaces import override
from dockgate.shared.retry import RetrySchedule
from dockgate.shared.timestamps import format_seconds, format_time

# Seconds that a task without a health check must have run.
_SETTLED_SECONDS = 1.0
_PATIENCE = HealthCheck().start_period
# Seconds that `tasks` waits for a health check's answer.
_GLANCE = 2.0


class PodmanTarget(Target):
    """A target that runs tasks as containers named `dockgate-<service>-<revision>-<number>`.

    A name exists once, so a call that is repeated, at the same time or after a crash, adopts the existing container.

    podman restarts a task whose program fails, ten times; tasks keep running when the server ends. `url` is the socket
    of its service ("unix:///…"), `bridge` the podman network for definitions with "bridge". Ports are published
    on loopback. A task gets `grace` seconds to end before it is killed. `login` gives user name and password
    to pull an image, None if the host's own logins are used. `memory` limits tasks whose definition has no limit, in
    MiB; None for no limit.
    """

    def __init__(
        self,
        url: str,
        bridge: str = "podman",
        grace: int = 10,
        login: Login = lambda image: None,
        memory: int | None = None,
    ) -> None:
        self._engine = Engine(url, bridge, login, memory)
        self._grace = grace
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # podman knows nothing of our health checks: the last run of each is kept here, until the process ends.
        self._probes = LastProbes()

    @override
    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Sequence[Task]:
        """Replace the tasks of the service.

        Tasks with a fixed port of the host stop before their successors start, because the port can be used once.
        Others stop when those are healthy.

        When `previous` is the same revision there is nothing to go back to: the tasks stay as they are.
        """
        with self._locks[service.name]:
            try:
                self._replace(service, definition)
            except DeployError as error:
                raise self._roll_back(service, definition, previous, error) from error
            return self.list_tasks(service.name)

    @override
    def list_tasks(self, service: str) -> Sequence[Task]:
        containers = self._engine.list_containers(service)
        self._probes.forget_other_tasks(service, {_identify_run(container) for container in containers})
        return [self._make_task(container) for container in containers]

    @override
    def restart(self, service: str, task: str) -> bool:
        with self._locks[service]:
            if all(container.name != task for container in self._engine.list_containers(service)):
                return False
            self._engine.stop(task, self._grace)
            self._engine.start(task)
            return True

    @override
    def read_log(self, service: str, task: str, lines: int) -> str | None:
        if all(container.name != task for container in self._engine.list_containers(service)):
            return None
        return self._engine.read_log(task, lines, LOG_LIMIT)

    def remove_images(self, needed_images: Callable[[], Collection[str]]) -> int:
        """Delete the images of this podman that no container has, and whose digest is not needed.

        Returns their bytes. They were pulled to run services: another deploy pulls them again. `needed_images` is asked
        once all images are known.
        """
        images = self._engine.list_images()
        digests = set(needed_images())
        unused_images = [image for image in images if image.digests and not image.digests & digests]
        return sum(image.size for image in unused_images if self._engine.remove_image(image.id))

    def _replace(self, service: Service, definition: TaskDefinition) -> None:
        image = require_image(service.name, definition)
        has_fixed_port = definition.has_fixed_port
        if has_fixed_port and service.desired_count > 1:
            raise DeployError(
                f"{service.name} wants {service.desired_count} tasks with the same port of the host",
                "Set hostPort to 0, or the desired count to 1.",
            )
        if service.desired_count:
            self._engine.pull(str(image))
        if has_fixed_port:
            for container in self._engine.list_containers(service.name):
                if container.revision != definition.revision:
                    self._engine.stop(container.name, self._grace)
        names = self._run(service, definition)
        self._wait_healthy(service, definition, names)
        self._keep(service.name, names)

    def _run(self, service: Service, definition: TaskDefinition) -> set[str]:
        """Make every task exist and run, and return their names. What runs already is left alone."""
        existing = {container.name: container for container in self._engine.list_containers(service.name)}
        names = [f"dockgate-{service.name}-{definition.revision}-{number}" for number in range(service.desired_count)]
        for name in names:
            container = existing.get(name)
            if container is not None and container.image != str(definition.image):
                self._engine.remove(name)
                container = None
            if container is None:
                self._engine.create(name, service.name, definition)
            if container is None or not container.is_running:
                self._engine.start(name)
        return set(names)

    def _wait_healthy(self, service: Service, definition: TaskDefinition, names: set[str]) -> None:
        check = definition.health_check
        patience = check.start_period if check else _PATIENCE
        end = time.monotonic() + patience
        schedule = RetrySchedule(first_pause=0.05, longest_pause=check.interval if check else _SETTLED_SECONDS)
        checks = 0
        missing_names = set(names)
        digest = require_image(service.name, definition).digest
        while missing_names:
            waiting = [
                container for container in self._engine.list_containers(service.name) if container.name in missing_names
            ]
            if len(waiting) < len(missing_names):
                raise DeployError(
                    f"tasks of {service.name} were removed during the deployment",
                    "Find out what removed them, and deploy again.",
                )
            for container in waiting:
                if container.digest != digest:
                    raise DeployError(
                        f"{container.name} runs {container.digest or 'an unknown image'} instead of {digest}",
                        "Find out what replaced it, and deploy again.",
                    )
                if container.has_ended(datetime.now(UTC)):
                    raise self._make_task_failure(container, container.reason)
                if self._is_healthy(container, check.timeout if check else _GLANCE):
                    missing_names.discard(container.name)
                elif time.monotonic() > end:
                    raise self._make_task_failure(
                        container, container.reason or self._explain_unhealthy(container, patience)
                    )
            if missing_names:
                checks += 1
                time.sleep(schedule.compute_pause(checks))

    def _is_healthy(self, container: Container, seconds: float) -> bool:
        if not container.is_running or container.started_at is None:
            return False
        check = container.check
        if check is None:
            return (datetime.now(UTC) - container.started_at).total_seconds() > _SETTLED_SECONDS
        begin = time.monotonic()
        outcome = self._probe(container, check, seconds)
        took = time.monotonic() - begin
        self._probes.record(container.service, _identify_run(container), outcome, format_time(datetime.now(UTC)), took)
        return outcome.is_healthy

    def _probe(self, container: Container, check: HealthCheck, seconds: float) -> Outcome:
        if check.command:
            return self._engine.run_inside(container.name, check.command, seconds)
        host_port = dict(container.ports).get(check.http_port)
        if host_port is not None:
            return probe_http(LOOPBACK, host_port, check.http_path, seconds)
        return probe_http(container.address or LOOPBACK, check.http_port, check.http_path, seconds)

    def _explain_unhealthy(self, container: Container, patience: float) -> str:
        probe = self._probes.get(container.service, _identify_run(container))
        output = f"; the last answer of its health check:\n{probe.output}" if probe and probe.output else ""
        return f"not healthy after {patience:g} s{output}"

    def _make_task_failure(self, container: Container, reason: str | None) -> DeployError:
        words = self._engine.read_last_words(container.name)
        output = f"; its last output:\n{words}" if words else "; it printed nothing"
        return DeployError(
            f"{container.name}: {reason or ''}{output}",
            "Fix the image, its settings or its health check; then push or apply again.",
        )

    def _roll_back(
        self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None, error: DeployError
    ) -> DeployError:
        """Bring back what ran before. Return the error to raise, which tells how that went."""
        if previous is not None and previous.revision == definition.revision:
            return error
        if previous is None or not previous.image:
            self._keep(service.name, set())
            return error
        # First, for a fixed port to be free again.
        for container in self._engine.list_containers(service.name):
            if container.revision == definition.revision:
                self._engine.remove(container.name)
        try:
            self._engine.pull(str(previous.image))
            self._keep(service.name, self._run(service, previous))
        except DeployError as second:
            return DeployError(
                f"{error}\nRevision {previous.revision} could not be started again: {second}", error.advice
            )
        return DeployError(f"{error}\nRevision {previous.revision} runs again", error.advice)

    def _keep(self, service: str, names: set[str]) -> None:
        """Remove every other task of the service."""
        for container in self._engine.list_containers(service):
            if container.name not in names:
                self._engine.remove(container.name, self._grace)

    def _make_task(self, container: Container) -> Task:
        state = self._determine_state(container)
        return Task(
            id=container.name,
            service=container.service,
            revision=container.revision,
            state=state,
            digest=container.digest,
            started_at=format_seconds(container.started_at) if container.started_at else None,
            reason=container.reason,
            ports=container.ports,
            probe=self._probes.get(container.service, _identify_run(container)),
        )

    def _determine_state(self, container: Container) -> TaskState:
        if not container.is_running or container.started_at is None:
            return TaskState.STOPPED if container.has_ended(datetime.now(UTC)) else TaskState.PENDING
        check = container.check
        if check is None or self._is_healthy(container, min(check.timeout, _GLANCE)):
            return TaskState.RUNNING
        age = (datetime.now(UTC) - container.started_at).total_seconds()
        return TaskState.PENDING if age < check.start_period else TaskState.UNHEALTHY


def _identify_run(container: Container) -> str:
    """The container since its last start: what was known of it before says nothing."""
    return f"{container.id} {container.started_at}"
