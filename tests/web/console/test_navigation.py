"""Which entry of the navigation a page belongs to."""

from fastapi.routing import APIRoute

from dockgate.web.console.rendering import NAVIGATION
from dockgate.web.console.site import list_routers

# Pages that belong to no entry: forms that make something, signing in, searches, and what is no page.
BESIDE = {"new", "signin", "first-admin", "search", "styleguide", "exposure", "live", "queue-count", "static"}


def test_every_page_belongs_to_one_entry() -> None:
    paths = {
        route.path
        for router in list_routers()
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
    entries = {path: [item.title for group in NAVIGATION for item in group if item.has_page(path)] for path in paths}
    assert {path for path, titles in entries.items() if len(titles) != 1 and path.split("/")[1] not in BESIDE} == set()
    assert entries["/executions/{execution_id}"] == ["Pipelines"]
    assert entries["/"] == ["Overview"]
