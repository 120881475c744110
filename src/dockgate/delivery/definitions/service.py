"""`kind: Service`, as people write it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from dockgate.delivery.deployments import check_service
from dockgate.delivery.model import REPOSITORY
from dockgate.delivery.service_model import HealthCheck, PortMapping, Service, TaskDefinition
from dockgate.delivery.targets.ecs_location import EcsLocation
from dockgate.gate.definitions.fields import Name, Strict, read_seconds
from dockgate.shared.errors import UsageError
from dockgate.shared.yaml import Document

# A rollout ends within an hour.
CheckSeconds = Annotated[int, BeforeValidator(read_seconds), Field(ge=1, le=3600)]


class PortModel(Strict):
    """A port of a container."""

    containerPort: int = Field(ge=1, le=65535)  # noqa: N815 - ECS's own spelling
    hostPort: int = Field(0, ge=0, le=65535)  # noqa: N815


class HttpModel(Strict):
    """A health check over HTTP."""

    port: int = Field(ge=1, le=65535)
    path: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/"


class HealthCheckModel(Strict):
    """A health check: over HTTP, or a command in the container."""

    http: HttpModel | None = None
    command: list[str] = Field(default_factory=list)
    interval: CheckSeconds = 1
    timeout: CheckSeconds = 5
    startPeriod: CheckSeconds = 60  # noqa: N815


class TaskDefinitionModel(Strict):
    """The task definition of a service document."""

    container: Name
    ports: list[PortModel] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    command: list[str] = Field(default_factory=list)
    healthCheck: HealthCheckModel | None = None  # noqa: N815
    network: Literal["bridge", "host"] = "bridge"
    # MiB, and the least of them, as in ECS.
    memory: int | None = Field(None, ge=6, le=2**24)
    # At most what Linux can number (PID_MAX_LIMIT).
    pidsLimit: int | None = Field(None, ge=1, le=2**22)  # noqa: N815


class EcsModel(Strict):
    """Where a service is in Amazon ECS."""

    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")]
    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
    repository: Annotated[str, Field(pattern=rf"^[a-z0-9.-]+\.[a-z]+(:[0-9]{{1,5}})?/{REPOSITORY}$", max_length=255)]


class ServiceModel(Strict):
    """A document of `kind: Service`."""

    kind: Literal["Service"]
    name: Name
    target: Literal["podman", "ecs"] = "podman"
    ecs: EcsModel | None = None
    desiredCount: int = Field(0, ge=0, le=100)  # noqa: N815
    taskDefinition: TaskDefinitionModel  # noqa: N815


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """A service with its task definition."""

    service: Service
    definition: TaskDefinition


def make_service_definition(document: Document, model: ServiceModel) -> ServiceDefinition:
    """The service and its task definition. Raises DefinitionError with the line of what can never run."""
    definition = model.taskDefinition
    check = definition.healthCheck
    ecs = model.ecs
    if (model.target == "ecs") != (ecs is not None):
        raise document.make_error(("target",), "`ecs` says where a service of target ecs is", "Give both, or neither.")
    if ecs is not None:
        _refuse_task_settings(document, model)
    elif check is not None and (check.http is None) == (not check.command):
        raise document.make_error(
            ("taskDefinition", "healthCheck"),
            "a health check is either http or command",
            "Give exactly one of the two.",
        )
    for index, port in enumerate(definition.ports):
        if port.hostPort and model.desiredCount > 1:
            raise document.make_error(
                ("taskDefinition", "ports", index, "hostPort"),
                "two tasks cannot share one host port",
                "Use hostPort 0, or desiredCount 1.",
            )
    target = str(EcsLocation(ecs.region, ecs.cluster, ecs.repository)) if ecs else "podman"
    service = ServiceDefinition(
        Service(model.name, target, model.desiredCount, revision=1),
        TaskDefinition(
            family=model.name,
            revision=1,
            container=definition.container,
            image=None,
            ports=tuple(PortMapping(port.containerPort, port.hostPort) for port in definition.ports),
            environment=dict(definition.environment),
            command=tuple(definition.command),
            health_check=_make_health_check(check) if check else None,
            network=definition.network,
            memory=definition.memory,
            pids_limit=definition.pidsLimit,
        ),
    )
    try:
        check_service(service.service, service.definition)
    except UsageError as error:
        raise document.make_error(("taskDefinition",), str(error), error.advice) from None
    return service


def _refuse_task_settings(document: Document, model: ServiceModel) -> None:
    """Refuse settings that only the task definition in ECS has."""
    for key in sorted(model.taskDefinition.model_fields_set - {"container", "healthCheck"}):
        raise document.make_error(
            ("taskDefinition", key), f"{key} has no effect on ECS", "Set it in ECS's task definition."
        )
    check = model.taskDefinition.healthCheck
    if check is not None and check.model_fields_set - {"startPeriod"}:
        raise document.make_error(
            ("taskDefinition", "healthCheck"), "ECS uses its own health checks", "Set startPeriod alone."
        )
    if "." in model.name:
        raise document.make_error(("name",), f"{model.name!r} cannot name a service on ECS", "Leave out the dots.")


def _make_health_check(model: HealthCheckModel) -> HealthCheck:
    return HealthCheck(
        http_port=model.http.port if model.http else 0,
        http_path=model.http.path if model.http else "/",
        command=tuple(model.command),
        interval=model.interval,
        timeout=model.timeout,
        start_period=model.startPeriod,
    )
