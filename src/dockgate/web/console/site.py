"""All pages of the console, as one router."""

from fastapi import APIRouter

from dockgate.web.console.pages import (
    definitions,
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
    tags,
    verdicts,
    vulnerabilities,
)


def console_router() -> APIRouter:
    """The router of all pages. An approval's id may contain slashes, so its pages come last."""
    router = APIRouter()
    work = (signing_in, first_admin, overview, definitions, pipelines, running, repositories)
    contents = (verdicts, images, tags, vulnerabilities)
    for page in (*work, *contents, events, governance, people, executions):
        router.include_router(page.router)
    return router
