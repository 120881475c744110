"""The advisory feeds."""

from dataclasses import dataclass

from dockgate.services.feeds.requests import request_update
from dockgate.shared.errors import ConflictError
from dockgate.web.api import AcceptCaller, ClockDependency, UpkeepDependency, make_router
from dockgate.web.audit_details import note_change

router = make_router()


@dataclass(frozen=True, slots=True)
class RequestedFeeds:
    """The feeds that the server fetches now."""

    feeds: list[str]


@router.post("/feeds/update", status_code=202)
def update_feeds(caller: AcceptCaller, clock: ClockDependency, upkeep: UpkeepDependency) -> RequestedFeeds:
    """Have the server fetch its advisory feeds now, not when they are due.

    A feed is fetched once a minute at most.
    """
    if upkeep.update_settings is None:
        raise ConflictError("this server fetches no feed", "Run `dockgate db update` where its database is.")
    names = list(request_update(upkeep.update_settings.advisories, clock()))
    note_change(", ".join(names))
    return RequestedFeeds(names)
