"""Services: their revisions, tasks and rollouts, and their desired count."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from dockgate.delivery.model import Rollout, Service, ServiceChange, ServiceEvent, Task, TaskDefinition, TaskState
from dockgate.web.api import Administrator, GuardedRoute, Reader, TheServer

MOST_TASKS = 100

Number = Annotated[int, Path(ge=1, le=1 << 53)]

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    service: Service
    image: str
    running: int


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`definitions`, `rollouts` and `events` newest first."""

    service: Service
    definitions: list[TaskDefinition]
    tasks: list[Task]
    rollouts: list[Rollout]
    events: list[ServiceEvent]


@dataclass(frozen=True, slots=True)
class Scale:
    desired_count: Annotated[int, Field(strict=True, ge=0, le=MOST_TASKS)]


@dataclass(frozen=True, slots=True)
class Change:
    """`service` as it is now; `rollout` is the change on its way, null where there is nothing to change."""

    service: Service
    rollout: Rollout | None


@router.get("/services")
def services(who: Reader, server: TheServer) -> list[ServiceSummary]:
    """All services: what each should run, and how many tasks do."""
    found = []
    for service in server.store.services.list():
        image = server.store.services.definition(service.name, service.revision).image
        tasks = server.parts.targets[service.target].tasks(service.name)
        found.append(ServiceSummary(service, image, sum(task.state is TaskState.RUNNING for task in tasks)))
    return found


@router.get("/services/{name}")
def service(name: str, who: Reader, server: TheServer) -> ServiceView:
    """One service with its revisions, its newest rollouts, and the tasks that there are now."""
    found = server.store.services.get(name)
    return ServiceView(
        service=found,
        definitions=list(server.store.services.definitions(name)),
        tasks=list(server.parts.targets[found.target].tasks(name)),
        rollouts=list(server.store.rollouts.list(name)),
        events=list(server.store.services.events(name)),
    )


@router.get("/services/{name}/rollouts/{number}")
def rollout(name: str, number: Number, who: Reader, server: TheServer) -> Rollout:
    """One change of a service, on its way or over."""
    return server.store.rollouts.get(name, number)


@router.post("/services/{name}/scale")
def scale(name: str, body: Scale, who: Administrator, server: TheServer) -> Change:
    """Begins a rollout to another desired count. The service keeps its count until so many tasks are healthy."""
    begun = server.engine.change_service(name, ServiceChange(desired_count=body.desired_count), who.name)
    return Change(server.store.services.get(name), begun)
