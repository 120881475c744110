"""Every route of the public application: the API, git, the registry's calls, and the console."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from dockgate.web import git_endpoints, registry_endpoints
from dockgate.web.api import (
    approval_requests,
    approvals,
    attestations,
    collections,
    deliveries,
    deploys,
    events,
    executions,
    exposure,
    feeds,
    health,
    images,
    openapi,
    pipelines,
    policies,
    principals,
    registries,
    repository_contents,
    rules,
    search,
    verdicts,
    waivers,
    workers,
)
from dockgate.web.console.site import list_routers


def list_public_routes() -> Sequence[BaseRoute]:
    """All routes, in the order in which paths are matched.

    An approval's id may contain slashes, so longer paths come first.
    """
    first_modules = (health, openapi, pipelines, executions, approval_requests, approvals)
    further_modules = (
        exposure,
        images,
        verdicts,
        waivers,
        attestations,
        deploys,
        principals,
        policies,
        registries,
        rules,
        deliveries,
        events,
        workers,
        collections,
        feeds,
        repository_contents,
        search,
    )
    routers = [module.router for module in (*first_modules, *further_modules, registry_endpoints, git_endpoints)]
    return [route for router in (*routers, *list_routers()) for route in router.routes]
