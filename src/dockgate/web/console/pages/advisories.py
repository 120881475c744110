"""The page of the advisory database: its feeds, and what it covers."""

from collections.abc import Callable
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import Response

from dockgate.services.feeds.status import describe_advisory_database, read_advisory_feeds
from dockgate.shared.cursors import LARGEST_PAGE
from dockgate.web import api
from dockgate.web.api import feeds as calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.pages.feed_trouble import find_feed_trouble
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import make_page_table
from dockgate.web.paging import PageQuery, list_sort_names, make_page
from dockgate.web.query_parameters import mark_parameters

router = make_page_router()

FeedSort = Literal["feed", "-feed", "checked", "-checked", "-changed", "changed", "-records", "records"]
_FEED_KEYS = {
    "feed": lambda entry: (entry.feed,),
    "checked": lambda entry: (entry.checked_at or "", entry.feed),
    "changed": lambda entry: (entry.changed_at or "", entry.feed),
    "records": lambda entry: (entry.records, entry.feed),
}
_COVERAGE_KEYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "ecosystem": lambda entry: entry["ecosystem"],
    "part": lambda entry: "whole" if entry["is_complete"] else "a part",
    "checked": lambda entry: entry["checked_at"] or "",
}
_COVERAGE_SORTS = ("ecosystem", "-ecosystem", "part", "-part", "checked", "-checked")


@router.post("/advisories/update")
def update_feeds(
    request: Request, caller: api.AcceptCaller, clock: api.ClockDependency, upkeep: api.UpkeepDependency
) -> Response:
    """Have the server fetch its feeds now."""
    calls.update_feeds(caller, clock, upkeep)
    outcome = "The server was asked to fetch its feeds, each once a minute at most. Checked changes then."
    return redirect_with_flash(request, "/advisories", outcome)


@router.get("/advisories")
@api.mark_self_checking
@mark_parameters(tables=("coverage",))
def show_advisories(
    request: Request,
    caller: api.ReadCaller,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
    upkeep: api.UpkeepDependency,
    sort: FeedSort = "feed",
) -> Response:
    """Show what the advisory database covers, and how old it is: nothing of images."""
    database = describe_advisory_database(fleet.advisories)
    feeds = make_page(
        read_advisory_feeds(upkeep.update_settings), _FEED_KEYS, PageQuery(sort, limit=LARGEST_PAGE)
    ).entries
    troubles = {feed.feed: find_feed_trouble(feed, clock()) for feed in feeds}
    return render_page(
        request,
        caller,
        "advisories.html",
        is_live=True,
        title="Advisories",
        database=database,
        coverage=make_page_table(request, "coverage", database.get("coverage", ()), _COVERAGE_KEYS, _COVERAGE_SORTS),
        feeds=feeds,
        links=ListLinks("/advisories", list_sort_names(FeedSort), sort),
        troubles=troubles,
        has_updates=any(feed.off is None for feed in feeds),
    )
