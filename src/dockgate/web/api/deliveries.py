"""Deliveries that failed, of every kind: listed, sent again, and dismissed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from dockgate.services.notifications.deliveries import DeliveryState, FailedDelivery
from dockgate.services.web_services import EventServices
from dockgate.store.events.failed_entries import FailingPosition
from dockgate.store.records import OutboxKind
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency, read_page

router = api.make_router()

DeliverySort = Literal["-due", "due"]


@dataclass(frozen=True, slots=True)
class RedeliveredMessages:
    """The messages to send again: those of a kind to a receiver with these keys.

    Null: all that were given up.
    """

    kind: OutboxKind
    receiver: str
    keys: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class DismissedMessages(RedeliveredMessages):
    """The messages to dismiss, as those to send again, and why they are of no use any more."""

    reason: str = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class RedeliveredCount:
    """The number of messages that are sent again, or dismissed."""

    count: int


@router.get("/deliveries")
def list_deliveries(
    caller: api.ReadCaller,
    events: api.EventDependency,
    paging: PagingDependency,
    kind: OutboxKind | None = None,
    state: DeliveryState | None = None,
    sort: DeliverySort = "-due",
) -> list[FailedDelivery]:
    """List deliveries that failed, a page at a time, optionally of one kind or in one state.

    They are listed by when they became due. One that was given up is sent again only by a call. Dismissed ones are
    listed only in the state `dismissed`.
    """
    return paging.list_entries(read_delivery_page(events, paging.make_query(sort), kind, state))


def read_delivery_page(
    events: EventServices, query: PageQuery, kind: OutboxKind | None = None, state: DeliveryState | None = None
) -> Page[FailedDelivery]:
    """A page of the deliveries that failed."""

    def read(after: FailingPosition | None, limit: int, is_newest_first: bool) -> Sequence[FailedDelivery]:
        return events.failed_deliveries.list(limit, after, is_newest_first=is_newest_first, kind=kind, state=state)

    def get_position(delivery: FailedDelivery) -> FailingPosition:
        return delivery.due_since, delivery.kind.value, delivery.key, delivery.receiver

    return read_page(read, get_position, (str, str, str, str), query)


@router.post("/deliveries/redeliver")
def redeliver(body: RedeliveredMessages, caller: api.AdminCaller, events: api.EventDependency) -> RedeliveredCount:
    """Send messages again that were given up.

    409: one of them was not given up, is being sent already, or contradicts what has happened since.
    """
    count = events.failed_deliveries.redeliver(body.kind, body.receiver, body.keys)
    note_change(f"{count} of {body.kind} to {body.receiver} sent again")
    return RedeliveredCount(count)


@router.post("/deliveries/dismiss")
def dismiss(body: DismissedMessages, caller: api.AdminCaller, events: api.EventDependency) -> RedeliveredCount:
    """Dismiss messages that were given up, and are of no use any more: their receiver is gone.

    They no longer count as failed, and stay in the list of dismissed ones. 409: one of them was not given up.
    """
    count = events.failed_deliveries.dismiss(body.kind, body.receiver, caller.name, body.reason, body.keys)
    note_change(f"{count} of {body.kind} to {body.receiver} dismissed: {body.reason.strip()}")
    return RedeliveredCount(count)
