"""The workers of the server's database."""

from dataclasses import replace

from dockgate.services.workers import WorkersStatus
from dockgate.store.records import WorkerState
from dockgate.web.api import AdminCaller, ReadCaller, UpkeepDependency, make_router
from dockgate.web.audit_details import note_change

router = make_router()


@router.get("/workers")
def list_workers(upkeep: UpkeepDependency, caller: ReadCaller, state: WorkerState | None = None) -> WorkersStatus:
    """List the workers, optionally those in one state, and the queues that no worker serves."""
    status = upkeep.workers.read_status()
    return replace(status, workers=[worker for worker in status.workers if state in (None, worker.state)])


@router.post("/workers/{worker}/drain", status_code=204)
def drain_worker(worker: str, upkeep: UpkeepDependency, caller: AdminCaller) -> None:
    """Let a worker finish its work, then stop it."""
    upkeep.workers.drain(worker)
    note_change("takes no more work")


@router.post("/workers/{worker}/remove", status_code=204)
def remove_worker(worker: str, upkeep: UpkeepDependency, caller: AdminCaller) -> None:
    """Stop a worker at once; other workers take over its work."""
    upkeep.workers.remove(worker)
    note_change("removed")
