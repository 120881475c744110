"""All pages of the console, as one router."""

from fastapi import APIRouter

from dockgate.web.console.pages import (
    events,
    executions,
    first_admin,
    governance,
    images,
    overview,
    people,
    pipelines,
    repositories,
    running,
    signing_in,
    verdicts,
    vulnerabilities,
)


def console_router() -> APIRouter:
    """The router of all pages. An approval's id may contain slashes, so its pages come last."""
    router = APIRouter()
    work = (signing_in, first_admin, overview, pipelines, verdicts, images, vulnerabilities, running, repositories)
    for page in (*work, events, governance, people, executions):
        router.include_router(page.router)
    return router
