"""Image repositories and their tags: what they name, what they named, and findings over time."""

from fastapi import Request
from fastapi.responses import Response

from dockgate.identity.model import Caller
from dockgate.services.exposure.advisory_matching import read_matching
from dockgate.services.fleet.finding_trends import DAYS
from dockgate.services.images.findings import find_repository_findings, find_tag_findings
from dockgate.services.web_services import FleetServices
from dockgate.shared.errors import NotFoundError
from dockgate.shared.references import TagReference
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope
from dockgate.web import api
from dockgate.web.api.pipelines import RepositorySort
from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.paging import Cursor, PageQuery, list_sort_names, make_page

router = make_page_router()


@router.get("/images/r")
@api.mark_self_checking
def show_repositories(
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    images: api.ImageDependency,
    sort: RepositorySort = "name",
    after: Cursor = None,
) -> Response:
    """List image repositories with their number of tags."""
    query = PageQuery(sort, after)
    names = images.search.list_repositories(caller)
    page = make_page(names, {"name": lambda name: (name,)}, query)
    return render_page(
        request,
        caller,
        "image_repositories.html",
        title="Image repositories",
        repositories=page.entries,
        summaries=store.tag_history.summarize_repositories(page.entries),
        links=ListLinks.from_page("/images/r", list_sort_names(RepositorySort), query, page),
    )


@router.get("/images/r/{name:path}")
@api.mark_self_checking
def show_tag(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
) -> Response:
    """Show a tag, REPOSITORY:TAG, or a repository with its newest images."""
    reference = TagReference.parse(name)
    if reference is None:
        return _render_repository(request, caller, store, fleet, name)
    repository, tag_name = reference.repository, reference.tag
    caller.require(repository=repository)
    findings = find_tag_findings(store, repository, tag_name, clock(), DAYS)
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
        matching=read_matching(
            store, fleet.advisories, fleet.exposure_search.clock.now(), ExposureScope(None, [repository])
        ),
        days=findings.days,
    )


def _render_repository(
    request: Request, caller: Caller, store: Store, fleet: FleetServices, repository: str
) -> Response:
    caller.require(repository=repository)
    findings = find_repository_findings(store, repository)
    if not findings.images:
        raise NotFoundError(
            f"there is no image repository {repository}", "`dockgate image list` lists the pushed images."
        )
    return render_page(
        request,
        caller,
        "image_repository.html",
        title=repository,
        repository=repository,
        findings=findings,
        matching=read_matching(
            store, fleet.advisories, fleet.exposure_search.clock.now(), ExposureScope(None, [repository])
        ),
    )
