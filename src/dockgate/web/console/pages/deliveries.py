"""The page of deliveries that failed: callbacks, messages to targets, attestations and provenance."""

from fastapi import Request
from fastapi.responses import Response

from dockgate.services.notifications.deliveries import DeliveryState, FailedDelivery
from dockgate.shared.errors import UsageError
from dockgate.shared.wording import format_count
from dockgate.store.records import OutboxKind
from dockgate.web import api
from dockgate.web.api import deliveries as calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.page_paths import make_approval_path, make_image_path
from dockgate.web.paging import Cursor, PageQuery, list_sort_names

DELIVERIES = "/events/deliveries"
# What a person reads for a kind.
_KIND_TITLES = {
    OutboxKind.WEBHOOK: "Answer",
    OutboxKind.VERDICT_CHANGE: "Changed verdict",
    OutboxKind.ATTESTATION: "Attestation",
    OutboxKind.PROVENANCE: "Provenance",
    OutboxKind.EVENT: "Event",
}
_FILTERS = (
    FilterRow(
        "State",
        [
            ("state", DeliveryState.GIVEN_UP.value, "Given up"),
            ("state", DeliveryState.RETRYING.value, "Retrying"),
            ("state", DeliveryState.DISMISSED.value, "Dismissed"),
        ],
    ),
    FilterRow("Kind", [("kind", kind.value, title) for kind, title in _KIND_TITLES.items()]),
)

router = make_page_router()


@router.get(DELIVERIES)
def show_deliveries(
    request: Request,
    caller: api.ReadCaller,
    events: api.EventDependency,
    kind: OutboxKind | None = None,
    state: DeliveryState | None = None,
    sort: calls.DeliverySort = "-due",
    after: Cursor = None,
) -> Response:
    """List deliveries that failed."""
    query = PageQuery(sort, after)
    page = calls.read_delivery_page(events, query, kind, state)
    return render_page(
        request,
        caller,
        "deliveries.html",
        title="Deliveries",
        deliveries=[(entry, _find_subject(entry)) for entry in page.entries],
        kinds=_KIND_TITLES,
        links=ListLinks.from_page(
            DELIVERIES, list_sort_names(calls.DeliverySort), query, page, [("kind", kind), ("state", state)]
        ),
        filter_rows=_FILTERS,
    )


def _find_subject(delivery: FailedDelivery) -> tuple[str, str] | None:
    """The name and the page of what a message is about."""
    if delivery.kind is OutboxKind.EVENT:
        return f"Target {delivery.receiver}", f"/events/targets/{delivery.receiver}"
    if delivery.approval:
        action = delivery.approval.action
        return action.execution if action else delivery.approval, make_approval_path(delivery.approval)
    return (delivery.image, make_image_path(delivery.image)) if delivery.image else None


@router.post(f"{DELIVERIES}/redeliver")
def redeliver(request: Request, caller: api.AdminCaller, events: api.EventDependency, fields: Form) -> Response:
    """Send one message again that was given up, or all of its kind to its receiver."""
    count = calls.redeliver(calls.RedeliveredMessages(*_read_messages(fields)), caller, events).count
    return redirect_with_flash(request, DELIVERIES, describe_redelivery(count))


def describe_redelivery(count: int) -> str:
    """Say how many messages are sent again."""
    if not count:
        return "Nothing was sent again: no message was given up that still applies."
    return f"{format_count(count, 'message')} {'is' if count == 1 else 'are'} sent again."


@router.post(f"{DELIVERIES}/dismiss")
def dismiss(request: Request, caller: api.AdminCaller, events: api.EventDependency, fields: Form) -> Response:
    """Dismiss one message that was given up, or all of its kind to its receiver."""
    messages = calls.DismissedMessages(*_read_messages(fields), reason=fields.get("reason", ""))
    count = calls.dismiss(messages, caller, events).count
    return redirect_with_flash(request, DELIVERIES, f"{format_count(count, 'message')} dismissed.")


def _read_messages(fields: Form) -> tuple[OutboxKind, str, list[str] | None]:
    """The kind, the receiver and the keys that a form names."""
    kind, key = fields.get("kind", ""), fields.get("key")
    if kind not in set(OutboxKind):
        raise UsageError(f"{kind!r} is not a kind of deliveries", f"The kinds are {', '.join(OutboxKind)}.")
    return OutboxKind(kind), fields.get("receiver", ""), [key] if key else None
