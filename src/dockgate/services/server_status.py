"""What the server is, and the state of its advisory database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dockgate import __version__
from dockgate.services.feeds.status import FeedStatus, read_feed_statuses
from dockgate.services.web_services import Addresses, FleetServices, UpkeepServices
from dockgate.services.workflow_starter import UnservedQueue
from dockgate.shared.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`database` describes the advisory database, or says why there is none.

    `unserved`: queues without a worker. `feeds` are the advisory feeds: their age, the last failure and the next
    attempt.
    """

    version: str
    registry: str
    git: str
    database: dict[str, Any]
    unserved: Sequence[UnservedQueue]
    feeds: Sequence[FeedStatus] = ()


def read_server_status(addresses: Addresses, fleet: FleetServices, upkeep: UpkeepServices) -> ServerStatus:
    """Return what the server is, and the state of its advisory database."""
    return ServerStatus(
        __version__,
        addresses.registry,
        f"{addresses.url}/git",
        describe_advisory_database(fleet),
        upkeep.workers.read_status().unserved,
        read_advisory_feeds(upkeep),
    )


def describe_advisory_database(fleet: FleetServices) -> dict[str, Any]:
    """Return what the advisory database covers, or why there is none."""
    try:
        reader = fleet.advisories()
        return {
            "digest": reader.digest,
            "coverage": [
                {"ecosystem": item.ecosystem, "is_complete": item.is_complete, "checked_at": item.checked_at}
                for item in reader.list_coverage()
            ],
        }
    except DatabaseError as error:
        return {"error": str(error), "advice": error.advice}


def read_advisory_feeds(upkeep: UpkeepServices) -> Sequence[FeedStatus]:
    """Return the state of the advisory feeds."""
    settings = upkeep.update_settings
    return read_feed_statuses(settings.advisories, settings.feeds) if settings else ()
