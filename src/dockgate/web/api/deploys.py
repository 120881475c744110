"""Services: their revisions, their tasks, their desired count."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from dockgate.core.deploy import Service, Task, TaskDefinition, TaskState
from dockgate.web.api import Administrator, GuardedRoute, Reader, TheServer

MOST_TASKS = 100

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    service: Service
    image: str
    running: int


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`definitions` newest first."""

    service: Service
    definitions: list[TaskDefinition]
    tasks: list[Task]


@dataclass(frozen=True, slots=True)
class Scale:
    desired_count: Annotated[int, Field(strict=True, ge=0, le=MOST_TASKS)]


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
    """One service with its revisions and the tasks that there are now."""
    return _view(name, server)


@router.post("/services/{name}/scale")
def scale(name: str, body: Scale, who: Administrator, server: TheServer) -> ServiceView:
    """Sets the desired count, and answers when as many tasks run."""
    server.engine.scale(name, body.desired_count)
    return _view(name, server)


def _view(name: str, server: TheServer) -> ServiceView:
    found = server.store.services.get(name)
    tasks = server.parts.targets[found.target].tasks(name)
    return ServiceView(found, list(server.store.services.definitions(name)), list(tasks))
