"""Git over smart HTTP (gitprotocol-http(5)).

The required permission depends only on path and method. Git never gets the request's query string or headers unchecked:
the call is rebuilt from the route.
"""

from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from dockgate.identity.model import Caller, Permission
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.web.api import (
    AddressesDependency,
    ReadCaller,
    RunCaller,
    SourceDependency,
    StoreDependency,
)
from dockgate.web.authorization import GuardedRoute, RequirePermission, find_audit_entry
from dockgate.web.git_body import MAX_NEGOTIATION, inflate_body, require_plain, spool_chunks
from dockgate.web.git_process import FetchResponse, GitCall, GitProcesses
from dockgate.web.git_push import Push, PushResponse, read_requested_updates
from dockgate.web.threads import limit_body_time

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)

# The two services: fetch and push.
UPLOAD, RECEIVE = "git-upload-pack", "git-receive-pack"


class RequireAdvertise(RequirePermission):
    """The permission to list references: read for fetches, run for pushes."""

    @override
    def choose_permission(self, request: Request) -> Permission:
        return Permission.RUN if _read_service(request) == RECEIVE else Permission.READ


@router.get("/git/{repository}.git/info/refs")
async def advertise_references(
    repository: str,
    request: Request,
    caller: Annotated[Caller, Depends(RequireAdvertise(Permission.READ))],
    store: StoreDependency,
    sources: SourceDependency,
) -> Response:
    """List the references of a repository, for fetch or push."""
    await _require_repository(repository, store)
    service = _read_service(request)
    if not service:
        raise UsageError("only git's smart HTTP protocol is supported", "Use git 1.6.6 or newer.")
    call = GitCall(repository, "/info/refs", "GET", f"service={service}", "", _read_protocol(request))
    return FetchResponse(sources.backend, _get_processes(request), caller.name, call, None)


@router.post("/git/{repository}.git/git-upload-pack")
async def upload_pack(
    repository: str, request: Request, caller: ReadCaller, store: StoreDependency, sources: SourceDependency
) -> Response:
    """Answer a fetch or clone."""
    await _require_repository(repository, store)
    call = _make_post_call(repository, UPLOAD, request)
    advice = "Fetch fewer references at a time."
    chunks = inflate_body(request, MAX_NEGOTIATION, advice)
    spool_body = partial(spool_chunks, chunks, sources.scratch, MAX_NEGOTIATION, advice)
    return FetchResponse(sources.backend, _get_processes(request), caller.name, call, spool_body)


@router.post("/git/{repository}.git/git-receive-pack")
async def receive_pack(
    repository: str,
    request: Request,
    caller: RunCaller,
    addresses: AddressesDependency,
    store: StoreDependency,
    sources: SourceDependency,
) -> Response:
    """Accept a push. Its audit entry and events are stored before the response ends."""
    await _require_repository(repository, store)
    require_plain(request)
    processes = _get_processes(request)
    call = _make_post_call(repository, RECEIVE, request)
    async with AsyncExitStack() as slot:
        await slot.enter_async_context(processes.receiving.take(caller.name))
        advice = "Push in smaller parts, or increase DOCKGATE_PUSH_LIMIT on the server."
        async with limit_body_time(processes.push_body_seconds, "Push in smaller parts."):
            body = await spool_chunks(request.stream(), sources.scratch, sources.push_limit, advice)
        try:
            updates = await read_requested_updates(body)
            push = Push(addresses, store, sources, processes, call, body, updates, caller, find_audit_entry(request))
        except BaseException:
            body.close()
            raise
        processes.keep_running(push.run(slot.pop_all()))
    return PushResponse(push)


async def _require_repository(repository: str, store: Store) -> None:
    if repository not in await run_in_threadpool(store.repositories.list_names):
        raise NotFoundError(
            f"the repository {repository!r} does not exist",
            "Create it with a Repository document: `dockgate apply FILE`.",
        )


def _read_service(request: Request) -> str | None:
    """The requested service, None unless the query names exactly one."""
    names = request.query_params.getlist("service")
    return names[0] if names in ([UPLOAD], [RECEIVE]) else None


def _make_post_call(repository: str, service: str, request: Request) -> GitCall:
    return GitCall(repository, f"/{service}", "POST", "", f"application/x-{service}-request", _read_protocol(request))


def _read_protocol(request: Request) -> str | None:
    """The requested protocol version, None for an unknown one."""
    version = request.headers.get("git-protocol")
    return version if version in ("version=0", "version=1", "version=2") else None


def _get_processes(request: Request) -> GitProcesses:
    processes: GitProcesses = request.app.state.git_processes
    return processes
