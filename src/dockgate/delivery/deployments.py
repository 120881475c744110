"""The nouns of deploying, with ECS's names and meanings: service, task definition with revisions, desired count,
task."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from dockgate.delivery.pipeline import State
from dockgate.shared.errors import UsageError


class TaskState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """`host_port` 0 lets the engine choose one."""

    container_port: int
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Either an HTTP GET that answers below 400 (`http_port`, `http_path`) or a command that exits 0 inside the
    container.

    Tried every `interval` seconds, each try at most `timeout` seconds; not healthy within `start_period` seconds is a
    failed deploy.
    """

    http_port: int = 0
    http_path: str = "/"
    command: tuple[str, ...] = ()
    interval: float = 1.0
    timeout: float = 5.0
    start_period: float = 60.0


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A revision of what to run. `image` is "<registry>/<repository>@sha256:…", or "" before the first deploy."""

    family: str
    revision: int
    container: str
    image: str
    ports: tuple[PortMapping, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    health_check: HealthCheck | None = None
    network: str = "bridge"

    @property
    def has_fixed_port(self) -> bool:
        """Whether a task uses a port of the host that a second task cannot have at the same time."""
        return self.network == "host" or any(port.host_port for port in self.ports)

    @property
    def settings(self) -> "TaskDefinition":
        """The definition without what a deploy adds to it: its image and its revision."""
        return replace(self, image="", revision=0)


@dataclass(frozen=True, slots=True)
class Service:
    """`at_risk` is why what runs would no longer be approved, "" when it would; `at_risk_until` its deadline (RFC
    3339)."""

    name: str
    target: str
    desired_count: int
    revision: int
    at_risk: str = ""
    at_risk_until: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A container of a service. `digest` is the manifest digest the engine reports; `ports` (container port, host
    port)."""

    id: str
    service: str
    revision: int
    state: TaskState
    digest: str
    started_at: str
    reason: str = ""
    ports: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deploy's result: the tasks that run now."""

    service: str
    revision: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What a person asks of a service; None leaves that part as it is. Image and revision of `definition` do not
    count."""

    target: str | None = None
    desired_count: int | None = None
    definition: TaskDefinition | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of a service on its way: `desired_count` tasks of `definition` on `target`.

    The service changes when the rollout succeeds, and only then. `number` counts from 1 for each service. `definition`
    has neither image nor revision: it gets the image that the service has when the rollout starts. `revision` is what
    was deployed, None unless it succeeded. `state` is IN_PROGRESS, SUCCEEDED or FAILED. Times are RFC 3339, "" means
    "not yet".
    """

    service: str
    number: int
    target: str
    desired_count: int
    definition: TaskDefinition
    state: State = State.IN_PROGRESS
    reason: str = ""
    revision: int | None = None
    started_at: str = ""
    started_by: str = ""
    finished_at: str = ""

    @property
    def id(self) -> str:
        return f"{self.service}/{self.number}"


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something that happened to a service without a person's request, such as a restart. `key` is unique to it."""

    key: str
    service: str
    at: str
    message: str


def check_service(service: Service, definition: TaskDefinition) -> None:
    """Raise UsageError unless `service.desired_count` tasks of the definition can run at the same time."""
    ports = [port.host_port for port in definition.ports if port.host_port]
    if repeated := next((port for port in ports if ports.count(port) > 1), 0):
        raise UsageError(f"{service.name}: two ports have hostPort {repeated}", "Use each hostPort once, or 0.")
    if service.desired_count > 1 and definition.has_fixed_port:
        what = "use the host's network" if definition.network == "host" else "share one hostPort"
        raise UsageError(
            f"{service.name}: {service.desired_count} tasks cannot {what}",
            "Use the bridge network with hostPort 0, or a desired count of 1.",
        )
