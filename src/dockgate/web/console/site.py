"""All pages of the console."""

from collections.abc import Sequence

from fastapi import APIRouter

from dockgate.web.console.pages import (
    advisories,
    approvals,
    definitions,
    deliveries,
    events,
    executions,
    file_edits,
    first_admin,
    images,
    overview,
    people,
    pipelines,
    policies,
    repositories,
    running,
    signing_in,
    tags,
    upkeep,
    verdicts,
    vex,
    vulnerabilities,
    waivers,
)


def list_routers() -> Sequence[APIRouter]:
    """The routers of all pages. An approval's id may contain slashes, so its pages come last."""
    work = (signing_in, first_admin, overview, definitions, pipelines, running, repositories, file_edits)
    contents = (verdicts, tags, images, vulnerabilities)
    decisions = (deliveries, events, policies, waivers, advisories, vex)
    return [page.router for page in (*work, *contents, *decisions, people, upkeep, approvals, executions)]
