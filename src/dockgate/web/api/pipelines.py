"""The server itself, repositories, and pipelines with the starting of executions."""

import uuid
from dataclasses import dataclass

from fastapi import APIRouter, Header, Request

from dockgate.delivery.model import Execution, Pipeline
from dockgate.services.server import AppliedDocument, ServerStatus
from dockgate.shared.errors import UsageError
from dockgate.web.api import Definer, GuardedRoute, Reader, Runner, TheServer, TheThreads, body_of, narrow

# Bytes.
DOCUMENT_LIMIT = 1 << 20

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """`heads` maps branches to commit ids."""

    name: str
    clone_url: str
    heads: dict[str, str]


@dataclass(frozen=True, slots=True)
class PipelineSummary:
    name: str
    version: int
    latest: Execution | None


@router.get("/status")
@narrow
def status(who: Reader, server: TheServer) -> ServerStatus:
    """What this server is, and the state of its advisory database."""
    return server.status()


@router.post("/apply", openapi_extra=body_of("application/yaml", "string"))
async def apply(
    request: Request, who: Definer, server: TheServer, threads: TheThreads, name: str = "document.yaml"
) -> AppliedDocument:
    """Makes the server agree with a YAML document (Repository, Pipeline, Service, Policy) given as the body."""
    return await threads.run(who.name, server.apply, await document(request, name), name, who)


async def document(request: Request, name: str) -> str:
    """The YAML in the body. UsageError where it is too large, or not UTF-8."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > DOCUMENT_LIMIT:
            raise UsageError(f"{name}: larger than {DOCUMENT_LIMIT} bytes", "A document is one small YAML file.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8: {error}", "Save the file as UTF-8.") from None


@router.get("/repositories")
def repositories(who: Reader, server: TheServer) -> list[RepositoryView]:
    """The git repositories that this server hosts."""
    return [
        RepositoryView(name, server.clone_url(name), dict(server.source.heads(name)))
        for name in server.store.repositories.names()
    ]


@router.get("/pipelines")
def pipelines(who: Reader, server: TheServer) -> list[PipelineSummary]:
    """All pipelines, each with its newest execution."""
    found = []
    for name in server.store.pipelines.names():
        newest = server.store.executions.for_pipeline(name, 1)
        found.append(PipelineSummary(name, server.store.pipelines.get(name).version, newest[0] if newest else None))
    return found


@router.get("/pipelines/{name}")
def pipeline(name: str, who: Reader, server: TheServer) -> Pipeline:
    """The newest version of a pipeline's definition."""
    return server.store.pipelines.get(name)


@router.get("/pipelines/{name}/executions")
def executions(name: str, who: Reader, server: TheServer, limit: int = 20) -> list[Execution]:
    """Newest first."""
    server.store.pipelines.get(name)
    return list(server.store.executions.for_pipeline(name, max(1, min(limit, 1000))))


@router.post("/pipelines/{name}/executions", status_code=201)
def start(name: str, who: Runner, server: TheServer, idempotency_key: str = Header("")) -> Execution:
    """Starts a pipeline by hand. The same Idempotency-Key starts it once."""
    server.store.pipelines.get(name)
    return server.engine.start(name, f"hand/{idempotency_key or uuid.uuid4()}", who.name if who.token else "")
