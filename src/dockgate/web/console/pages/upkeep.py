"""The pages about upkeep: workers, the keys that sign attestations, and garbage collection."""

from collections.abc import Callable

from fastapi import Request
from fastapi.responses import Response

from dockgate.shared.errors import ChangedError
from dockgate.store.records import Worker, WorkerState
from dockgate.web import api
from dockgate.web.api import attestations as key_calls
from dockgate.web.api import collections as collection_calls
from dockgate.web.api import workers as worker_calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.formats import get_mark
from dockgate.web.console.list_links import FilterRow
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.query_parameters import mark_parameters

# Garbage collections that the page lists.
MAX_RUNS = 20

_WORKER_KEYS: dict[str, Callable[[Worker], str]] = {
    "worker": lambda worker: worker.id,
    "node": lambda worker: worker.node,
    "started": lambda worker: worker.started_at,
}
_WORKER_SORTS = ("worker", "-worker", "node", "-node", "-started", "started")

router = make_page_router()


@router.get("/workers")
@mark_parameters(tables=("workers",))
def show_workers(
    request: Request, caller: api.ReadCaller, upkeep: api.UpkeepDependency, state: WorkerState | None = None
) -> Response:
    """List the workers, and the queues that none of them takes work from."""
    status = worker_calls.list_workers(upkeep, caller, state)
    return render_page(
        request,
        caller,
        "workers.html",
        title="Workers",
        state=state,
        workers=make_page_table(request, "workers", status.workers, _WORKER_KEYS, _WORKER_SORTS),
        filter_rows=[FilterRow("State", [("state", state.value, get_mark(state).word) for state in WorkerState])],
        unserved_queues=status.unserved,
        is_shared=upkeep.workers.is_shared,
    )


@router.post("/workers/{worker}/drain")
def drain_worker(worker: str, request: Request, caller: api.AdminCaller, upkeep: api.UpkeepDependency) -> Response:
    """Let a worker finish its work, then stop it."""
    worker_calls.drain_worker(worker, upkeep, caller)
    return redirect_with_flash(request, "/workers", f"The worker {worker} takes no more work.")


@router.post("/workers/{worker}/remove")
def remove_worker(worker: str, request: Request, caller: api.AdminCaller, upkeep: api.UpkeepDependency) -> Response:
    """Stop a worker at once."""
    worker_calls.remove_worker(worker, upkeep, caller)
    return redirect_with_flash(request, "/workers", f"The worker {worker} was removed.")


@router.get("/attestation-keys")
@api.mark_self_checking
def show_keys(request: Request, caller: api.ReadCaller, approvals: api.ApprovalDependency) -> Response:
    """Show the public keys of attestations, the present one first."""
    present_key, *former_keys = key_calls.list_keys(caller, approvals).keys
    return render_page(
        request, caller, "attestation_keys.html", title="Signing keys", present_key=present_key, former_keys=former_keys
    )


@router.post("/attestation-keys")
def rotate_key(request: Request, caller: api.AdminCaller, approvals: api.ApprovalDependency, fields: Form) -> Response:
    """Replace the signing key if it is still the one that the page showed."""
    outcome = "The key had been replaced before. Nothing was changed."
    if fields.get("key") == key_calls.list_keys(caller, approvals).keys[0].id:
        key_calls.rotate_key(caller, approvals)
        outcome = "The key was replaced."
    return redirect_with_flash(request, "/attestation-keys", outcome)


@router.get("/gc")
def show_collections(
    request: Request, caller: api.AdminCaller, store: api.StoreDependency, upkeep: api.UpkeepDependency
) -> Response:
    """Show the stored plan of the next collection, and list the last ones."""
    return render_page(
        request,
        caller,
        "collections.html",
        title="Garbage collection",
        runs=collection_calls.list_newest_collections(store, MAX_RUNS),
        plan=upkeep.collection_plans.find(),
    )


@router.post("/gc")
def request_collection(
    request: Request, caller: api.AdminCaller, upkeep: api.UpkeepDependency, fields: Form
) -> Response:
    """Request a collection, unless one has not finished.

    ChangedError if the plan that the page showed is not the newest, or if a collection has finished since.
    """
    plan = upkeep.collection_plans.find()
    if plan is None or plan.is_outdated or plan.made_at != fields.get("plan"):
        raise ChangedError(
            "nothing was removed: this page's plan is not the newest", "See what a collection would remove now."
        )
    collection_calls.request_collection(upkeep, caller)
    return redirect_with_flash(request, "/gc", "The collection was requested.")


@router.post("/gc/plan")
def make_plan(request: Request, caller: api.AdminCaller, upkeep: api.UpkeepDependency) -> Response:
    """Plan a collection as of now. Nothing is removed."""
    collection_calls.make_plan(upkeep, caller)
    return redirect_with_flash(request, "/gc", "The plan was made. Nothing was removed.")
