"""VEX documents: who says that a vulnerability does not affect an image."""

from collections.abc import Callable

from fastapi import Request
from fastapi.responses import Response

from dockgate.identity.model import Caller
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.api import waivers as calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.list_links import FilterRow
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.console.uploads import PASTED_NAME, Upload, read_upload
from dockgate.web.paging import list_sort_names
from dockgate.web.query_parameters import mark_parameters

_KEYS: dict[str, Callable[[calls.VexView], str]] = {
    "added": lambda document: document.added_at,
    "author": lambda document: document.author,
}
_SORTS = ("-added", "added", "author", "-author")

router = make_page_router()


@router.get("/vex")
@mark_parameters(tables=("documents",))
def show_documents(
    request: Request, caller: api.ReadCaller, store: api.StoreDependency, state: calls.VexState | None = None
) -> Response:
    """List VEX documents, with a form to upload one."""
    return _render_documents(request, caller, store, state=state)


def _render_documents(
    request: Request,
    caller: Caller,
    store: Store,
    content: str = "",
    error: UsageError | None = None,
    state: calls.VexState | None = None,
) -> Response:
    return render_page(
        request,
        caller,
        "vex.html",
        422 if error else 200,
        title="Error: VEX documents" if error else "VEX documents",
        documents=make_page_table(request, "documents", calls.list_documents(caller, store, state), _KEYS, _SORTS),
        state=state,
        filter_rows=[FilterRow("State", [("state", name, name) for name in list_sort_names(calls.VexState)])],
        content=content,
        error=error,
    )


@router.post("/vex")
async def upload_document(
    request: Request,
    caller: api.AcceptCaller,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    threads: api.ThreadsDependency,
) -> Response:
    """Upload a VEX document, for which the caller vouches: a file, or its text."""
    document = Upload(PASTED_NAME, b"")
    try:
        document = await read_upload(request)
        await threads.run(caller.name, calls.upload_document, policies, document.data, document.name, caller)
    except UsageError as error:
        # A browser lets no page choose a file again; a text stays in its field.
        content = document.data.decode(errors="replace") if document.name == PASTED_NAME else ""
        return await threads.run(caller.name, _render_documents, request, caller, store, content, error)
    return redirect_with_flash(request, "/vex", "The document was uploaded.")


@router.post("/vex/{digest}/remove")
def remove_document(
    digest: api.Digest, request: Request, caller: api.AcceptCaller, policies: api.PolicyDependency
) -> Response:
    """Remove an uploaded document. It stays on record."""
    calls.remove_document(digest, caller, policies)
    return redirect_with_flash(request, "/vex", "The document was removed.")
