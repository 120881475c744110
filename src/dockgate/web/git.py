"""Git over smart HTTP. A push is looked at before its answer ends: when git says it is done, its event is stored."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dockgate.core.errors import NotFoundError
from dockgate.core.people import Caller, Permission
from dockgate.web.api import TheServer
from dockgate.web.caller import May

router = APIRouter(include_in_schema=False)


class MayGit(May):
    """To pull is to read, to push is to run. A push begins by asking for the references under its service's name."""

    def needed(self, request: Request) -> Permission:
        service = request.query_params.get("service", "") or request.path_params["path"]
        return Permission.RUN if service.endswith("git-receive-pack") else Permission.READ


_receiving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
"""one push into a repository at a time, so that each is an event of its own"""


@router.api_route("/git/{repository}.git/{path:path}", methods=["GET", "POST"])
async def git(
    repository: str,
    path: str,
    request: Request,
    who: Annotated[Caller, Depends(MayGit(Permission.READ))],
    server: TheServer,
) -> Response:
    if repository not in await run_in_threadpool(server.store.repositories.names):
        advice = "Create it with a Repository document: dockgate apply FILE"
        return PlainTextResponse(f"no repository {repository!r} here. {advice}\n", 404)
    push = path == "git-receive-pack"
    lock = _receiving[repository] if push else asyncio.Lock()
    await lock.acquire()
    try:
        status, headers, answer = await server.git_backend(
            repository, f"/{path}", request.method, request.url.query, dict(request.headers), request.stream()
        )
    except NotFoundError as error:
        lock.release()
        return PlainTextResponse(f"{error}\n", 404)
    except BaseException:
        lock.release()
        raise

    by = who.name if who.token else ""

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer:
                yield chunk
        finally:
            try:
                if push:
                    await asyncio.shield(run_in_threadpool(server.engine.pushed, repository, by))
            finally:
                lock.release()

    return StreamingResponse(body(), status, headers)
