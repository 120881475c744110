"""A tag of an image repository: what it names, what it named, and its findings over time."""

from fastapi import Request
from fastapi.responses import Response

from dockgate.services.fleet.finding_trends import DAYS
from dockgate.services.images.findings import find_of_tag
from dockgate.shared.errors import NotFoundError
from dockgate.shared.references import TagReference
from dockgate.web import api
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router, redirect_to
from dockgate.web.page_paths import make_repository_path

router = make_page_router()


@router.get("/images/r/{name:path}")
@api.mark_self_checking
def show_tag(name: str, request: Request, caller: api.Reader, server: api.ServerDependency) -> Response:
    """Show a tag, REPOSITORY:TAG; a repository alone leads to the list of its images."""
    reference = TagReference.parse(name)
    if reference is None:
        caller.require(repository=name)
        return redirect_to(make_repository_path(name))
    repository, tag_name = reference.repository, reference.tag
    caller.require(repository=repository)
    findings = find_of_tag(server.store, repository, tag_name, server.clock(), DAYS)
    if not findings.digests:
        raise NotFoundError(f"there is no tag {name}", "`dockgate image list` lists the pushed images.")
    return render_page(
        request,
        caller,
        "tag.html",
        title=name,
        repository=repository,
        tag=tag_name,
        findings=findings,
        days=findings.days,
    )
