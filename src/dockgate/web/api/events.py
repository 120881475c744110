"""The event log, and the JSON Schemas of events."""

import asyncio
import json
import time
from typing import Annotated, Any

from fastapi import Query, Request

from dockgate.events import schemas
from dockgate.events.pattern import MAX_TEXT, parse_pattern
from dockgate.services.notifications.event_rules import require_repository_names
from dockgate.services.notifications.events import EventPage
from dockgate.web.api import (
    AddressesDependency,
    EventDependency,
    ReadCaller,
    ThreadsDependency,
    make_router,
    mark_self_checking,
)
from dockgate.web.authorization import get_authorized_caller
from dockgate.web.long_polls import wait_for_event

# Seconds: proxies close a connection not long after.
MAX_WAIT_SECONDS = 60
# How often a waiting call looks for new events.
POLL_SECONDS = 0.5

router = make_router()


@router.get("/events")
@mark_self_checking
async def list_events(
    request: Request,
    addresses: AddressesDependency,
    events: EventDependency,
    threads: ThreadsDependency,
    caller: ReadCaller,
    after: Annotated[int | None, Query(ge=0, le=1 << 53)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    pattern: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
) -> EventPage:
    """List the events after the `seq` `after`, or the newest ones.

    `pattern` selects, `wait` waits for the first.
    """
    compiled_pattern = parse_pattern(pattern) if pattern else None
    if pattern:
        require_repository_names(json.loads(pattern), addresses.registry_names)
    end = time.monotonic() + wait
    position = after
    while True:
        page = await threads.run(caller.name, events.reader.read_page, caller, compiled_pattern, position, limit)
        if page.events or time.monotonic() >= end:
            return page
        position = page.after
        if not page.has_more and not await wait_for_event(request, asyncio.sleep(POLL_SECONDS), MAX_WAIT_SECONDS):
            return page  # the client has gone
        caller = get_authorized_caller(request) or caller  # it may see less by now


@router.get("/events/schemas")
@mark_self_checking
def get_event_schemas(caller: ReadCaller) -> dict[str, Any]:
    """Get the JSON Schema of each kind of event, by its `detail-type`."""
    return schemas.load()
