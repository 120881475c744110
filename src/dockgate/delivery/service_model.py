"""The nouns of deployments: services, task definitions and tasks, with the names and meanings of ECS."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from dockgate.delivery.model import ActionKey, RunState
from dockgate.shared.references import ImageReference


class TaskState(StrEnum):
    """The state of a task, in ECS's words."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A published port. With `host_port` 0 the engine chooses one."""

    container_port: int
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An HTTP GET that must answer below 400 (`http_port`, `http_path`), or a command that must exit 0.

    It runs every `interval` seconds and may take `timeout` seconds. A task that is not healthy within `start_period`
    seconds fails the deployment.
    """

    http_port: int = 0
    http_path: str = "/"
    command: tuple[str, ...] = ()
    interval: float = 1.0
    timeout: float = 5.0
    start_period: float = 60.0


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A revision of what to run. `image` is None before the first deployment.

    `memory` is the most that a task may use, in MiB, `pids_limit` its most processes and threads; None leaves both to
    the target.
    """

    family: str
    revision: int
    container: str
    image: ImageReference | None
    ports: tuple[PortMapping, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    health_check: HealthCheck | None = None
    network: str = "bridge"
    memory: int | None = None
    pids_limit: int | None = None

    @property
    def has_fixed_port(self) -> bool:
        """Return whether a task takes a port of the host, so that a second task cannot run beside it."""
        return self.network == "host" or any(port.host_port for port in self.ports)

    def describe_limits(self) -> str | None:
        """Return the limits of each task as text: "512 MiB of memory, 100 processes", or None."""
        memory = f"{self.memory} MiB of memory" if self.memory else ""
        processes = f"{self.pids_limit} process{'es' * (self.pids_limit != 1)}" if self.pids_limit else ""
        return ", ".join(filter(None, (memory, processes))) or None

    @property
    def settings(self) -> "TaskDefinition":
        """The definition without image and revision, which a deployment adds."""
        return replace(self, image=None, revision=0)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs `desired_count` tasks of a task definition's revision.

    `at_risk` is why its policy would reject the running image now, None if it would not, `at_risk_until` the deadline
    (RFC 3339). `cannot_judge`: why its policy cannot judge it now, None if it can; that alone never puts it at risk.
    """

    name: str
    target: str
    desired_count: int
    revision: int
    at_risk: str | None = None
    at_risk_until: str | None = None
    cannot_judge: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """The last run of a task's health check.

    `output` is the end of what the command printed or the HTTP server answered, without control characters, None for
    none. `at` (RFC 3339) is when the run ended, `seconds` how long it took, `failures` how many runs failed in a row;
    None if the engine does not say.
    """

    is_healthy: bool
    output: str | None = None
    at: str | None = None
    seconds: float | None = None
    failures: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A container of a service.

    `digest` is the manifest digest that the engine reports, None if unknown; `started_at` is None before the start.
    `ports` are pairs of container port and host port. `probe` is None without a health check, and before its first run.
    """

    id: str
    service: str
    revision: int
    state: TaskState
    digest: str | None
    started_at: str | None
    reason: str | None = None
    ports: tuple[tuple[int, int], ...] = ()
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """A requested change of a service; None keeps a value. Image and revision of `definition` are ignored.

    `is_restart` replaces all tasks, even if nothing else changes.
    """

    target: str | None = None
    desired_count: int | None = None
    definition: TaskDefinition | None = None
    is_restart: bool = False


@dataclass(frozen=True, slots=True)
class RolloutKey:
    """The identity of one rollout of one service. Its text is "<service>/<number>"."""

    service: str
    number: int

    def __str__(self) -> str:
        return f"{self.service}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> "RolloutKey":
        """Read "<service>/<number>". Raises ValueError for other text."""
        service, _, number = text.rpartition("/")
        return cls(service, int(number))


@dataclass(frozen=True, slots=True)
class RevisionCause:
    """The cause of a revision of a service, registered once: a deploy action or a rollout.

    `base` is the service's revision that the new one differs from; None for the first that an action registers. Its
    text is "<action key>" or "rollout/<rollout key>", and " above <base>" if it has one.
    """

    by: ActionKey | RolloutKey
    base: int | None = None

    def __str__(self) -> str:
        source = f"rollout/{self.by}" if isinstance(self.by, RolloutKey) else str(self.by)
        return source if self.base is None else f"{source} above {self.base}"

    @classmethod
    def parse(cls, text: str) -> "RevisionCause":
        """Read the text of a cause. Raises ValueError for other text."""
        source, separator, base = text.partition(" above ")
        rollout = source.removeprefix("rollout/")
        return cls(
            ActionKey.parse(source) if rollout == source else RolloutKey.parse(rollout),
            int(base) if separator else None,
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of a service in progress: `desired_count` tasks of `definition` on `target`.

    The service changes when the rollout succeeds, and only then. `number` counts from 1 for each service. `definition`
    has neither image nor revision: it gets the image that the service has when the rollout starts. `revision` is what
    was deployed, None unless it succeeded. `state` is IN_PROGRESS, SUCCEEDED or FAILED. One that `is_restart` deploys a
    new revision even if the definition is the same, so that new tasks take the place of all.
    """

    service: str
    number: int
    target: str
    desired_count: int
    definition: TaskDefinition
    state: RunState = RunState.IN_PROGRESS
    reason: str | None = None
    revision: int | None = None
    started_at: str = field(kw_only=True)
    started_by: str = field(kw_only=True)
    finished_at: str | None = None
    is_restart: bool = False

    @property
    def key(self) -> RolloutKey:
        """The key that identifies it."""
        return RolloutKey(self.service, self.number)

    @property
    def id(self) -> str:
        """The text of its key."""
        return str(self.key)


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something that happened to a service without a person's request, such as a restart.

    `key` is unique to it.
    """

    key: str
    service: str
    at: str
    message: str
