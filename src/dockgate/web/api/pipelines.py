"""The server's status, documents, repositories and pipelines."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Header, Request
from pydantic import Field

from dockgate.delivery.fixes import Fix
from dockgate.delivery.model import Execution, ExecutionResult, Pipeline, RunState
from dockgate.identity.model import Caller
from dockgate.services.pipelines.documents import AppliedDocument, DocumentText
from dockgate.services.server_status import ServerStatus, read_server_status
from dockgate.services.web_services import Addresses, DeliveryServices, SourceServices
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.authorization import get_authorized_caller
from dockgate.web.paging import Key, Page, PageQuery, PagingDependency, make_page, read_page
from dockgate.web.threads import get_threads

# Bytes.
DOCUMENT_LIMIT = 1 << 20
# Documents that are applied together.
DOCUMENTS_LIMIT = 1000
RepositorySort = Literal["name", "-name"]
ExecutionSort = Literal["-number", "number"]
PipelineSort = Literal["name", "-name", "-began", "began"]

router = api.make_router()


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """`heads` maps branches to commit ids. `problem` says why they cannot be read, null if they can."""

    name: str
    clone_url: str
    heads: dict[str, str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PipelineSummary:
    """A pipeline with its newest execution, null before the first."""

    name: str
    version: int
    latest: Execution | None


@router.get("/status")
@api.mark_self_checking
def get_status(
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    fleet: api.FleetDependency,
    upkeep: api.UpkeepDependency,
    store: api.StoreDependency,
) -> ServerStatus:
    """Get the server's status and the state of its advisory database.

    `queue` has the approvals that the caller may decide.
    """
    return read_server_status(addresses, fleet, upkeep, store, caller)


@router.post("/apply", openapi_extra=api.describe_body("application/yaml", "string"))
async def apply_document(
    request: Request,
    caller: api.DefineCaller,
    delivery: api.DeliveryDependency,
    threads: api.ThreadsDependency,
    name: str = "document.yaml",
) -> AppliedDocument:
    """Create or change what a YAML document describes (Repository, Pipeline, Service, Policy, …)."""
    return await threads.run(caller.name, _apply_text, delivery, await read_document(request, name), name, caller)


@router.post("/apply/documents")
def apply_documents(
    documents: Annotated[list[DocumentText], Field(min_length=1, max_length=DOCUMENTS_LIMIT)],
    caller: api.DefineCaller,
    delivery: api.DeliveryDependency,
) -> list[AppliedDocument]:
    """Create or change what YAML documents describe, which may name each other: all of them, or none.

    The body lists texts with the names of their files. The answer is in the order in which they were applied.
    """
    applied_documents = delivery.documents.apply_all(documents, caller)
    note_change(", ".join(f"{document.kind} {document.name} {document.change}" for document in applied_documents))
    return applied_documents


def _apply_text(delivery: DeliveryServices, text: str, name: str, caller: Caller) -> AppliedDocument:
    applied_document = delivery.documents.apply(text, name, caller)
    note_change(f"{applied_document.kind} {applied_document.name} {applied_document.change}")
    return applied_document


async def read_document(request: Request, name: str) -> str:
    """Read the YAML of the body. Raises UsageError if it is too large or not UTF-8, BusyError."""
    threads, caller = await get_threads(request), get_authorized_caller(request)
    body = b""
    async with threads.take_body_slot(caller.name if caller else ""):
        async for chunk in request.stream():
            body += chunk
            if len(body) > DOCUMENT_LIMIT:
                raise UsageError(f"{name} is larger than {DOCUMENT_LIMIT} bytes", "Split the document.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8: {error}", "Save the file as UTF-8.") from None


@router.get("/repositories")
@api.mark_self_checking
def list_repositories(
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    sources: api.SourceDependency,
    paging: PagingDependency,
    name: str = "",
    sort: RepositorySort = "name",
) -> list[RepositoryView]:
    """List the server's git repositories that the caller may see, a page at a time.

    `name` is a part of their names, in any case. `heads` are the branches as of the last push that was answered, or
    later.
    """
    return paging.list_entries(read_repository_page(caller, addresses, store, sources, paging.make_query(sort), name))


def read_repository_page(
    caller: Caller, addresses: Addresses, store: Store, sources: SourceServices, query: PageQuery, name_part: str = ""
) -> Page[RepositoryView]:
    """A page of the repositories that the caller may see, of those with this part of a name."""
    visible = (name for name in store.repositories.list_names() if caller.can_reach(repository=name))
    matching = (name for name in visible if name_part.lower() in name.lower())
    page = make_page(matching, {"name": lambda name: (name,)}, query)
    branches = sources.pushes.list_branches(page.entries)
    return page.with_entries(
        [
            RepositoryView(name, addresses.make_clone_url(name), dict(branches[name].heads), branches[name].problem)
            for name in page.entries
        ]
    )


@router.get("/pipelines")
@api.mark_self_checking
def list_pipelines(
    caller: api.ReadCaller,
    store: api.StoreDependency,
    paging: PagingDependency,
    result: ExecutionResult | None = None,
    sort: PipelineSort = "name",
) -> list[PipelineSummary]:
    """List pipelines that the caller may see, with their newest execution, a page at a time.

    `result` is that of the newest execution. `sort` is by name or by when that execution began.
    """
    return paging.list_entries(read_pipeline_page(caller, store, paging.make_query(sort), result))


def read_pipeline_page(
    caller: Caller, store: Store, query: PageQuery, result: ExecutionResult | None = None
) -> Page[PipelineSummary]:
    """A page of the pipelines that the caller may see, with a result of their newest execution if given."""
    newest_executions = {execution.pipeline: execution for execution in store.executions.list_newest(result)}
    summaries = (
        PipelineSummary(name, version, newest_executions.get(name))
        for name, version in store.pipelines.list_newest_versions().items()
        if caller.can_reach(pipeline=name) and (result is None or name in newest_executions)
    )
    keys: Mapping[str, Key[PipelineSummary]] = {
        "name": lambda entry: (entry.name,),
        "began": lambda entry: (entry.latest.started_at if entry.latest else "", entry.name),
    }
    return make_page(summaries, keys, query)


@router.get("/pipelines/{name}")
def get_pipeline(name: str, caller: api.ReadCaller, store: api.StoreDependency) -> Pipeline:
    """Get the newest definition of a pipeline."""
    return store.pipelines.get(name)


@router.get("/pipelines/{name}/executions")
def list_executions(
    name: str,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    paging: PagingDependency,
    state: RunState | None = None,
    result: ExecutionResult | None = None,
    sort: ExecutionSort = "-number",
) -> list[Execution]:
    """List executions, newest first, a page at a time, in one state or with one result if given.

    Results tell rejected and undetermined executions from those that failed, and waiting ones from those in progress.
    """
    store.pipelines.get(name)
    return paging.list_entries(read_execution_page(name, store, paging.make_query(sort), state, result))


def read_execution_page(
    name: str,
    store: Store,
    query: PageQuery,
    state: RunState | None = None,
    result: ExecutionResult | None = None,
) -> Page[Execution]:
    """A page of the executions of a pipeline."""

    def read(after: tuple[int] | None, limit: int, is_newest_first: bool) -> Sequence[Execution]:
        number = after and after[0]
        return store.executions.list_for_pipeline(
            name, limit, number, state, result=result, is_newest_first=is_newest_first
        )

    def count(limit: int) -> int:
        return store.executions.count_for_pipeline(name, limit, state, result)

    return read_page(read, lambda execution: (execution.number,), (int,), query, count)


@router.post("/pipelines/{name}/executions", status_code=201)
def start_execution(
    name: str,
    caller: api.RunCaller,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
    idempotency_key: str = Header(""),
    fresh: bool = False,
) -> Execution:
    """Start a pipeline. The same Idempotency-Key starts it once.

    `fresh` builds without layers of earlier builds.
    """
    store.pipelines.get(name)
    cause = f"hand/{idempotency_key or uuid.uuid4()}"
    execution = delivery.executions.start(name, cause, caller.name if caller.token else None, is_fresh=fresh)
    note_change(f"execution {execution.id}{', fresh' if fresh else ''}")
    return execution


@router.get("/pipelines/{name}/fixes")
def list_fixes(name: str, caller: api.ReadCaller, store: api.StoreDependency) -> list[Fix]:
    """List the fixes that were found for the images of a pipeline, newest first."""
    store.pipelines.get(name)
    return list(store.fixes.list(name))
