"""Pipelines and their definitions."""

from fastapi import Request
from fastapi.responses import Response

from dockgate.delivery.model import ExecutionResult
from dockgate.services.pipelines.fixes import summarize
from dockgate.web import api
from dockgate.web.api import pipelines as calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.formats import get_mark
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.pages.stages import make_execution_rows
from dockgate.web.console.rendering import render_page
from dockgate.web.console.repeated_forms import make_request_key
from dockgate.web.console.routes import make_page_router
from dockgate.web.paging import Cursor, PageQuery, list_sort_names

FIXES = 5
_RESULTS = FilterRow("Result", [("result", result.value, get_mark(result).word) for result in ExecutionResult])

router = make_page_router()


@router.get("/pipelines")
@api.mark_self_checking
def show_pipelines(
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    result: ExecutionResult | None = None,
    sort: calls.PipelineSort = "name",
    after: Cursor = None,
) -> Response:
    """List pipelines with the stages of their newest execution."""
    query = PageQuery(sort, after)
    page = calls.read_pipeline_page(caller, store, query, result)
    return render_page(
        request,
        caller,
        "pipelines.html",
        is_live=True,
        title="Pipelines",
        pipelines=page.entries,
        links=ListLinks.from_page("/pipelines", list_sort_names(calls.PipelineSort), query, page, [("result", result)]),
        filter_rows=[_RESULTS],
        rows=make_execution_rows(store, [entry.latest for entry in page.entries if entry.latest]),
    )


@router.get("/pipelines/{name}")
def show_pipeline(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    result: ExecutionResult | None = None,
    sort: calls.ExecutionSort = "-number",
    after: Cursor = None,
) -> Response:
    """Show a pipeline: its stages, its newest fixes, and its executions."""
    definition = store.pipelines.get(name)
    query = PageQuery(sort, after)
    page = calls.read_execution_page(name, store, query, result=result)
    executions, is_newest = page.entries, result is None and query == PageQuery("-number")
    newest_executions = executions[:1] if is_newest else store.executions.list_for_pipeline(name, 1)
    return render_page(
        request,
        caller,
        "pipeline.html",
        is_live=not after,
        title=name,
        pipeline=definition,
        executions=executions,
        newest_execution=newest_executions[0] if newest_executions else None,
        links=ListLinks.from_page(
            f"/pipelines/{name}", list_sort_names(calls.ExecutionSort), query, page, [("result", result)]
        ),
        filter_rows=[_RESULTS],
        rows=make_execution_rows(
            store, list({execution.id: execution for execution in (*newest_executions, *executions)}.values())
        ),
        fixes=store.fixes.list(name, FIXES),
        summarize=summarize,
    )


@router.post("/pipelines/{name}/start")
def start_pipeline(
    name: str,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    delivery: api.DeliveryDependency,
    fields: Form,
) -> Response:
    """Start a pipeline, once for each form."""
    execution = calls.start_execution(name, caller, store, delivery, make_request_key(fields))
    return redirect_with_flash(request, f"/executions/{execution.id}", f"The pipeline {name} was started.")
