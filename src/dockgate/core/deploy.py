"""The nouns of deploying, with ECS's names and meanings: service, task definition with revisions, desired count,
task."""

from dataclasses import dataclass, field
from enum import StrEnum


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
