"""What the server is, and the state of its advisory database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dockgate import __version__
from dockgate.services.feeds.status import FeedStatus, describe_advisory_database, read_advisory_feeds
from dockgate.services.web_services import Addresses, FleetServices, UpkeepServices
from dockgate.services.workflow_starter import UnservedQueue


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
        describe_advisory_database(fleet.advisories),
        upkeep.workers.read_status().unserved,
        read_advisory_feeds(upkeep.update_settings),
    )
