"""Services: their revisions, tasks and rollouts, and their desired count."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import (
    Rollout,
    Service,
    ServiceChange,
    ServiceEvent,
    Task,
    TaskDefinition,
)
from dockgate.identity.model import Caller
from dockgate.services.notifications.events import make_event_filter
from dockgate.services.pipelines.visible_services import list_visible_services
from dockgate.services.web_services import Addresses, DeliveryServices
from dockgate.shared.errors import NotFoundError, UnavailableError
from dockgate.store import Store
from dockgate.store.delivery.rollouts import ROLLOUTS_KEPT
from dockgate.store.delivery.services import make_unknown_service_error
from dockgate.web.api import (
    AddressesDependency,
    AdminCaller,
    DeliveryDependency,
    Number,
    ReadCaller,
    StoreDependency,
    make_router,
    mark_self_checking,
)
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency, make_page

MAX_TASKS = 100
# Rollouts of a service that are listed.
MAX_ROLLOUTS = 10
# Seconds that a page or a call waits for the targets of its services: longer than a health check that hangs.
PATIENCE = 10.0

Lines = Annotated[int, Query(ge=1, le=5000)]

router = make_router()

ServiceSort = Literal["name", "-name", "state", "-state", "target", "-target"]


class ServiceTrouble(StrEnum):
    """The trouble of a service, the most urgent first."""

    AT_RISK = "AtRisk"
    CANNOT_JUDGE = "CannotJudge"
    DEPLOY_FAILED = "DeployFailed"


@dataclass(frozen=True, slots=True)
class FailedDeploy:
    """A deploy or rollout that failed: the tasks of before run. `execution` is null for a rollout."""

    reason: str
    at: str
    execution: str | None


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """A service with its image (null before the first deployment) and the number of running tasks.

    `running` is null if its target cannot be asked, and `tasks_error` says why.
    `failed_deploy` is the last deploy if it failed, null otherwise, and when its event is no longer among the newest.
    """

    service: Service
    image: str | None
    running: int | None
    tasks_error: str | None
    failed_deploy: FailedDeploy | None


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service with its details; `definitions`, `rollouts` and `events` are newest first.

    `tasks` are null if its target cannot be asked. `tasks_error` and `failed_deploy` as in the list of services.
    """

    service: Service
    definitions: list[TaskDefinition]
    tasks: list[Task] | None
    tasks_error: str | None
    rollouts: list[Rollout]
    events: list[ServiceEvent]
    failed_deploy: FailedDeploy | None


@dataclass(frozen=True, slots=True)
class TaskLog:
    """The last lines that a task has written, oldest first; null if its engine gives out no logs."""

    lines: list[str] | None


@dataclass(frozen=True, slots=True)
class Scale:
    """A request for another desired count."""

    desired_count: Annotated[int, Field(strict=True, ge=0, le=MAX_TASKS)]


@dataclass(frozen=True, slots=True)
class Change:
    """`service` is the present state; `rollout` the started change, null if nothing changes."""

    service: Service
    rollout: Rollout | None


def find_failed_deploys(caller: Caller, store: Store) -> dict[str, FailedDeploy]:
    """The services whose last deploy failed, by the newest events, of the events that the caller may see."""
    failed_deploys: dict[str, FailedDeploy] = {}
    for event in store.event_log.list_last(("deploy.failed", "deploy.succeeded"), make_event_filter(caller)):
        detail = event.body["detail"]
        if event.detail_type == "deploy.failed":
            reason, execution = str(detail.get("reason", "")), detail.get("execution")
            failed_deploy = FailedDeploy(reason, event.at, str(execution) if execution else None)
            failed_deploys[str(detail.get("service"))] = failed_deploy
    return failed_deploys


def _can_see(caller: Caller, service: Service, addresses: Addresses, store: Store) -> bool:
    if not caller.is_limited:
        return True
    return _can_reach_image(caller, store.services.get_definition(service.name, service.revision), addresses)


def _can_reach_image(caller: Caller, definition: TaskDefinition, addresses: Addresses) -> bool:
    image = definition.image
    return image is not None and caller.can_reach(repository=image.strip_registry(addresses.registry))


def _select_visible_part(caller: Caller, view: ServiceView, addresses: Addresses) -> ServiceView:
    """Return what a limited caller may see of a service: all, unless it ran images of other repositories.

    Then, and if earlier revisions are deleted: the revisions that the caller reaches, their tasks with these tasks'
    events, and their rollouts with the one in progress, which is for the present image.
    """
    visible_revisions = {entry.revision for entry in view.definitions if _can_reach_image(caller, entry, addresses)}
    is_complete = len(view.definitions) == max(entry.revision for entry in view.definitions)
    if is_complete and all(entry.revision in visible_revisions for entry in view.definitions if entry.image):
        return replace(view, rollouts=view.rollouts[:MAX_ROLLOUTS])
    tasks = [task for task in view.tasks or () if task.revision in visible_revisions]
    return replace(
        view,
        definitions=[entry for entry in view.definitions if entry.revision in visible_revisions],
        tasks=None if view.tasks is None else tasks,
        rollouts=[
            rollout
            for rollout in view.rollouts
            if rollout.revision in visible_revisions or rollout.state is RunState.IN_PROGRESS
        ][:MAX_ROLLOUTS],
        events=[event for event in view.events if any(f"/{task.id}/" in event.key for task in tasks)],
    )


def _require_service(caller: Caller, name: str, addresses: Addresses, store: Store) -> Service:
    """The service. For a limited caller, those that run other repositories' images do not exist."""
    service = store.services.get(name)
    if not _can_see(caller, service, addresses, store):
        raise make_unknown_service_error(name)
    return service


@router.get("/services")
@mark_self_checking
def list_services(
    caller: ReadCaller,
    addresses: AddressesDependency,
    store: StoreDependency,
    delivery: DeliveryDependency,
    paging: PagingDependency,
    trouble: ServiceTrouble | None = None,
    sort: ServiceSort = "name",
) -> list[ServiceSummary]:
    """List services that the caller may see, with their image and running tasks, a page at a time.

    `running` is null for a target that does not answer.

    `trouble` lists only those at risk, those that cannot be judged, or those whose last deploy failed.
    In the order `state`, services at risk are first, the nearest deadline before others; then those that cannot be
    judged, and those whose last deploy failed.
    """
    return paging.list_entries(read_service_page(caller, addresses, store, delivery, paging.make_query(sort), trouble))


def read_service_page(
    caller: Caller,
    addresses: Addresses,
    store: Store,
    delivery: DeliveryServices,
    query: PageQuery,
    trouble: ServiceTrouble | None = None,
) -> Page[ServiceSummary]:
    """A page of the services that the caller may see, with this trouble if given.

    Targets are asked about its tasks only. One that does not answer hides no service.
    """
    failures = find_failed_deploys(caller, store)
    keys = {
        "name": lambda service: (service.name,),
        "target": lambda service: (service.target, service.name),
        "state": lambda service: (*_rank_service(service, has_failed=service.name in failures), service.name),
    }
    has_trouble = {
        None: lambda service: True,
        ServiceTrouble.AT_RISK: lambda service: service.at_risk is not None,
        ServiceTrouble.CANNOT_JUDGE: lambda service: service.cannot_judge is not None,
        ServiceTrouble.DEPLOY_FAILED: lambda service: service.name in failures,
    }[trouble]
    page = make_page(filter(has_trouble, list_visible_services(caller, addresses.registry, store)), keys, query)
    images = {entry.service: entry.reference for entry in store.services.list_deployed_images()} if page.entries else {}
    lists = delivery.running_tasks.list_tasks([(entry.name, entry.target) for entry in page.entries], PATIENCE)
    counts = lists.count_running()
    summaries = []
    for service in page.entries:
        image, name = images.get(service.name), service.name
        task_columns = counts.get(name), lists.failures.get(name)
        summaries.append(ServiceSummary(service, str(image) if image else None, *task_columns, failures.get(name)))
    return page.with_entries(summaries)


def _rank_service(service: Service, *, has_failed: bool) -> tuple[int, str]:
    """The rank of a service in the order of states, and its deadline if it is at risk, else the latest time."""
    if service.at_risk:
        return 0, service.at_risk_until or "~"
    return (1 if service.cannot_judge else 2 if has_failed else 3), ""


@router.get("/services/{name}")
@mark_self_checking
def get_service(
    name: str, caller: ReadCaller, addresses: AddressesDependency, store: StoreDependency, delivery: DeliveryDependency
) -> ServiceView:
    """Get a service with its task definitions, tasks, rollouts and events."""
    stored_service = _require_service(caller, name, addresses, store)
    lists = delivery.running_tasks.list_tasks([(name, stored_service.target)], PATIENCE)
    tasks = lists.tasks.get(name)
    view = ServiceView(
        service=stored_service,
        definitions=list(store.services.list_definitions(name)),
        tasks=None if tasks is None else list(tasks),
        tasks_error=lists.failures.get(name),
        rollouts=list(store.rollouts.list(name, ROLLOUTS_KEPT if caller.is_limited else MAX_ROLLOUTS)),
        events=list(store.services.list_events(name)),
        failed_deploy=find_failed_deploys(caller, store).get(name),
    )
    return _select_visible_part(caller, view, addresses) if caller.is_limited else view


@router.get("/services/{name}/tasks/{task}/log")
@mark_self_checking
def get_task_log(
    name: str,
    task: str,
    caller: ReadCaller,
    addresses: AddressesDependency,
    store: StoreDependency,
    delivery: DeliveryDependency,
    lines: Lines = 500,
) -> TaskLog:
    """Get the last lines that a task of the service has written."""
    view, _ = read_task_view(name, task, caller, addresses, store, delivery)
    return read_log(view, task, delivery, lines)


def read_task_view(
    name: str, task: str, caller: Caller, addresses: Addresses, store: Store, delivery: DeliveryServices
) -> tuple[ServiceView, Task]:
    """Return a service and one of its tasks. Raises NotFoundError also if the caller may not see them."""
    view = get_service(name, caller, addresses, store, delivery)
    if view.tasks is None:
        raise UnavailableError(
            f"the tasks of {name} are unknown: {view.tasks_error}",
            "Check that podman or ECS is available to the server, then try again.",
        )
    for entry in view.tasks:
        if entry.id == task:
            return view, entry
    raise NotFoundError(f"{name} has no task {task!r}", f"Run `dockgate deploy show {name}` to list its tasks.")


def read_log(view: ServiceView, task: str, delivery: DeliveryServices, lines: int = 500) -> TaskLog:
    """The last lines of a task of `view`."""
    text = delivery.targets[view.service.target].read_log(view.service.name, task, lines)
    return TaskLog(None if text is None else text.removesuffix("\n").split("\n") if text else [])


@router.get("/services/{name}/rollouts/{number}")
def get_rollout(name: str, number: Number, caller: ReadCaller, store: StoreDependency) -> Rollout:
    """Get a rollout of a service."""
    return store.rollouts.get(name, number)


@router.post("/services/{name}/scale")
def scale_service(
    name: str, body: Scale, caller: AdminCaller, store: StoreDependency, delivery: DeliveryDependency
) -> Change:
    """Start a rollout to another desired count. The count changes when the tasks are healthy."""
    former_count = store.services.get(name).desired_count
    rollout = delivery.rollouts.begin(name, ServiceChange(desired_count=body.desired_count), caller.name)
    note_change(f"desired count {former_count} -> {body.desired_count}" if rollout else "unchanged")
    return Change(store.services.get(name), rollout)


@router.post("/services/{name}/restart")
def restart_service(name: str, caller: AdminCaller, store: StoreDependency, delivery: DeliveryDependency) -> Change:
    """Start a rollout that replaces all tasks by new ones of the same image and settings.

    The present tasks run until the new ones are healthy. The image needs no new approval: a service at risk can be
    restarted.
    """
    rollout = delivery.rollouts.begin(name, ServiceChange(is_restart=True), caller.name)
    service = store.services.get(name)
    note_change(f"new tasks for revision {service.revision}")
    return Change(service, rollout)
