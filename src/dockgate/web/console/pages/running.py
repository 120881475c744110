"""Running services: tasks, health, changes, the desired count, and restarts."""

from collections.abc import Callable

from fastapi import Request
from fastapi.responses import Response

from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import Rollout, Task, TaskDefinition
from dockgate.identity.model import Caller
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.web_services import Addresses, DeliveryServices
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.api import deploys as calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.formats import get_mark
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.console.terminal_text import fold_lines
from dockgate.web.paging import Cursor, PageQuery, list_sort_names
from dockgate.web.query_parameters import mark_parameters

# Changes and revisions of a service on its page.
CHANGES = REVISIONS = 20
# What its tables are sorted by: tasks as their target lists them, changes the newest first.
_TASK_KEYS: dict[str, Callable[[Task], str | int]] = {
    "task": lambda task: task.id,
    "state": lambda task: task.state,
    "revision": lambda task: task.revision,
    "started": lambda task: task.started_at or "",
}
_TASK_SORTS = ("", "task", "-task", "state", "-state", "-revision", "revision", "-started", "started")
_CHANGE_KEYS: dict[str, Callable[[Rollout], str | int]] = {
    "change": lambda rollout: rollout.number,
    "result": lambda rollout: rollout.state,
}
_REVISION_KEYS: dict[str, Callable[[TaskDefinition], str | int]] = {
    "revision": lambda entry: entry.revision,
    "image": lambda entry: str(entry.image or ""),
}
_REVISION_SORTS = ("-revision", "revision", "image", "-image")
_TROUBLES = FilterRow("Only", [("trouble", trouble.value, get_mark(trouble).word) for trouble in calls.ServiceTrouble])
_CHANGE_SORTS = ("-change", "change", "result", "-result")

router = make_page_router()


@router.get("/running")
@api.mark_self_checking
def show_services(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
    trouble: calls.ServiceTrouble | None = None,
    sort: calls.ServiceSort = "name",
    after: Cursor = None,
) -> Response:
    """List services with their image and tasks."""
    query = PageQuery(sort, after)
    page = calls.read_service_page(caller, addresses, store, delivery, query, trouble)
    return render_page(
        request,
        caller,
        "running.html",
        is_live=True,
        title="Running",
        services=page.entries,
        links=ListLinks.from_page("/running", list_sort_names(calls.ServiceSort), query, page, [("trouble", trouble)]),
        filter_rows=[_TROUBLES],
    )


@router.get("/running/{name}")
@api.mark_self_checking
@mark_parameters(tables=("tasks", "changes", "revisions"))
def show_service(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
) -> Response:
    """Show a service: its tasks, what it runs, and what changed."""
    return _render_service(request, caller, addresses, store, delivery, name)


def _render_service(
    request: Request,
    caller: Caller,
    addresses: Addresses,
    store: Store,
    delivery: DeliveryServices,
    name: str,
    count: str | None = None,
    error: UsageError | None = None,
) -> Response:
    """The page of a service; `count` is what was typed as its desired count, None for nothing."""
    view = calls.get_service(name, caller, addresses, store, delivery)
    definition = next(
        (definition for definition in view.definitions if definition.revision == view.service.revision), None
    )
    image = definition.image if definition else None
    verdicts = ImageVisibility(store, caller).list_verdicts(image.digest) if image else ()
    under_way = [rollout.desired_count for rollout in view.rollouts if rollout.state is RunState.IN_PROGRESS]
    return render_page(
        request,
        caller,
        "service.html",
        422 if error else 200,
        is_live=True,
        title=f"Error: {name}" if error else name,
        error=error,
        view=view,
        tasks=make_page_table(request, "tasks", view.tasks or (), _TASK_KEYS, _TASK_SORTS),
        changes=make_page_table(request, "changes", view.rollouts, _CHANGE_KEYS, _CHANGE_SORTS, CHANGES),
        revisions=make_page_table(request, "revisions", view.definitions, _REVISION_KEYS, _REVISION_SORTS, REVISIONS),
        service=view.service,
        image_names=_list_image_names(view),
        definition=definition,
        image=image,
        verdict=verdicts[0] if verdicts else None,
        goal=count if count is not None else under_way[0] if under_way else view.service.desired_count,
        most_tasks=calls.MAX_TASKS,
    )


def _list_image_names(view: calls.ServiceView) -> dict[int, str]:
    """The names of the revisions' images, without digest."""
    return {definition.revision: definition.image.repository for definition in view.definitions if definition.image}


@router.get("/running/{name}/tasks/{task}")
@api.mark_self_checking
def show_task(
    name: str,
    task: str,
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
) -> Response:
    """Show a task: its state, the last run of its health check, and the last lines that it has written."""
    view, shown_task = calls.read_task_view(name, task, caller, addresses, store, delivery)
    definition = next(
        (definition for definition in view.definitions if definition.revision == shown_task.revision), None
    )
    lines = calls.read_log(view, task, delivery).lines
    return render_page(
        request,
        caller,
        "task.html",
        title=task,
        service_name=name,
        image_names=_list_image_names(view),
        task=shown_task,
        check=definition.health_check if definition else None,
        lines=None if lines is None else fold_lines(lines),
    )


@router.post("/running/{name}")
def scale_service(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
    fields: Form,
) -> Response:
    """Change the desired count."""
    text = fields.get("desired_count", "")
    if not text.isdecimal() or int(text) > calls.MAX_TASKS:
        error = UsageError("the desired count is not a number of tasks", f"Give a number from 0 to {calls.MAX_TASKS}.")
        return _render_service(request, caller, addresses, store, delivery, name, text, error)
    is_changed = calls.scale_service(name, calls.Scale(int(text)), caller, store, delivery).rollout is not None
    outcome = f"The desired count changes to {int(text)}." if is_changed else "The desired count was the same before."
    return redirect_with_flash(request, f"/running/{name}", outcome)


@router.post("/running/{name}/restart")
def restart_service(
    name: str,
    request: Request,
    caller: api.AdminCaller,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
) -> Response:
    """Replace all tasks by new ones."""
    calls.restart_service(name, caller, store, delivery)
    return redirect_with_flash(request, f"/running/{name}", "The restart has begun: new tasks replace all tasks.")
