"""The workers of the server's database."""

from dockgate.services.workers import WorkersStatus
from dockgate.web.api import Administrator, Reader, ServerDependency, api_router

router = api_router()


@router.get("/workers")
def workers(server: ServerDependency, caller: Reader) -> WorkersStatus:
    """List the workers, and the queues that none of them takes work from."""
    return server.workers.read_status()


@router.post("/workers/{worker}/drain", status_code=204)
def drain(worker: str, server: ServerDependency, caller: Administrator) -> None:
    """Have a worker take no more work, and end once its present work has ended."""
    server.workers.drain(worker)


@router.post("/workers/{worker}/remove", status_code=204)
def remove(worker: str, server: ServerDependency, caller: Administrator) -> None:
    """End a worker in the middle of its work, which goes on at others."""
    server.workers.remove(worker)
