"""What the server is, and the state of its advisory database."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dockgate import __version__
from dockgate.delivery.model import ApprovalId
from dockgate.identity.model import Caller
from dockgate.services.approvals.decidable_approvals import list_decidable_approvals
from dockgate.services.feeds.status import FeedStatus, describe_advisory_database, read_advisory_feeds
from dockgate.services.web_services import Addresses, FleetServices, UpkeepServices
from dockgate.services.workflow_starter import UnservedQueue
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class QueuedApproval:
    """A waiting approval on which the caller may vote.

    `contributors_unknown` is why no one could vote when it was requested, null if the contributors were known.
    """

    id: ApprovalId
    repository: str
    pipeline: str | None
    expires_at: str
    contributors_unknown: str | None


@dataclass(frozen=True, slots=True)
class ApprovalQueue:
    """What the caller may decide, what ends first before the others.

    There may be more if `is_complete` is false.
    """

    approvals: Sequence[QueuedApproval]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`database` describes the advisory database, or says why it cannot be read.

    `unserved`: queues without a worker, for limited callers without those of labels. `feeds` are the advisory feeds:
    their age, the last failure and the next attempt. `queue` has the approvals on which the caller may vote.
    """

    version: str
    registry: str
    git: str
    database: dict[str, Any]
    unserved: Sequence[UnservedQueue]
    feeds: Sequence[FeedStatus]
    queue: ApprovalQueue


def read_server_status(
    addresses: Addresses, fleet: FleetServices, upkeep: UpkeepServices, store: Store, caller: Caller
) -> ServerStatus:
    """Return what the server is, the state of its advisory database, and what the caller may decide."""
    return ServerStatus(
        __version__,
        addresses.registry,
        f"{addresses.url}/git",
        describe_advisory_database(fleet.advisories),
        _select_unserved_queues(upkeep.workers.read_status().unserved, caller),
        read_advisory_feeds(upkeep.update_settings),
        _read_queue(store, caller),
    )


def _select_unserved_queues(queues: Sequence[UnservedQueue], caller: Caller) -> Sequence[UnservedQueue]:
    """What the caller may read of these queues. Labels and numbers are those of all pipelines."""
    if not caller.is_limited:
        return queues
    return [replace(queue, waiting=None) for queue in queues if not queue.has_labels]


def _read_queue(store: Store, caller: Caller) -> ApprovalQueue:
    decidable = list_decidable_approvals(store, caller)
    approvals = [
        QueuedApproval(entry.id, entry.repository, entry.pipeline, entry.expires_at, entry.unknown_reason)
        for entry in decidable.approvals
    ]
    return ApprovalQueue(approvals, decidable.is_complete)
