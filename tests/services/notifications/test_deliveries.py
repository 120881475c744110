"""Deliveries that were given up are sent again, unless that would contradict what has happened since."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    add_to_outbox,
    limit_to_sqlite,
    make_approval,
    open_store_of_kind,
)

from dockgate.delivery.model import Answer, ApprovalState
from dockgate.delivery.webhook_delivery import Callback
from dockgate.events.model import LOG_TARGET, Target, TargetType
from dockgate.gate.model import Status
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.deliveries import DeliveryState, FailedDeliveries
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.shared.errors import ConflictError
from dockgate.shared.timestamps import to_datetime
from dockgate.store import Store
from dockgate.store.records import OutboxEntry, OutboxKind

VERDICT = "sha256:" + "d" * 64
APPROVED = Answer(ApprovalState.APPROVED, "nothing found", VERDICT)
HOOK = Callback("https://ci.example/hook", "whsec_x")
CHANGE, ATTESTATION, WEBHOOK = OutboxKind.VERDICT_CHANGE, OutboxKind.ATTESTATION, OutboxKind.WEBHOOK


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def deliveries(store: Store) -> FailedDeliveries:
    clock = ServerClock(lambda: to_datetime(LATER))
    targets = EventTargets(store, {}, [Target(LOG_TARGET, TargetType.LOG, "the log")], clock)
    return FailedDeliveries(store, targets, clock)


def approve(store: Store) -> None:
    approval = store.approvals.add(replace(make_approval("external/one"), repository="web"), HOOK)
    assert store.approvals.settle(approval.id, APPROVED, NOW)


def change_status(store: Store, status: Status) -> None:
    (followed_image,) = store.followed_images.list()
    assert store.followed_images.change(followed_image, status, VERDICT, f"it is {status}", LATER)


def give_up(store: Store, kind: OutboxKind, receiver: str = "ci.example") -> str:
    """Give up the only entry of a kind that is due, and return its key."""
    (entry,) = store.outbox.claim(kind, LATER, "a server", 10, 10)
    assert entry.receiver == receiver
    store.outbox.fail(entry, f"no {kind}", None)
    return entry.key


def test_a_delivery_says_what_it_is_about_and_why_it_failed(store: Store, deliveries: FailedDeliveries) -> None:
    approve(store)
    give_up(store, WEBHOOK)
    change_status(store, Status.REJECTED)
    (entry,) = store.outbox.claim(CHANGE, LATER, "a server", 10, 10)
    store.outbox.fail(entry, "no answer", LATER)
    change, answer = deliveries.list(10)
    assert (change.kind, change.state, change.approval, change.image) == (
        CHANGE,
        DeliveryState.RETRYING,
        "external/one",
        IMAGE,
    )
    assert (answer.kind, answer.state, answer.approval, answer.error, answer.next_at) == (
        WEBHOOK,
        DeliveryState.GIVEN_UP,
        "external/one",
        "no webhook",
        None,
    )
    assert deliveries.list(10, state=DeliveryState.GIVEN_UP) == [answer]
    assert deliveries.list(10, kind=CHANGE) == [change]
    assert deliveries.list(10, is_newest_first=False) == [answer, change]
    assert deliveries.list(10, (change.due_since, change.kind, change.key, change.receiver)) == [answer]


@limit_to_sqlite("store")
def test_the_last_changed_verdict_is_sent_again_and_no_earlier_one(store: Store, deliveries: FailedDeliveries) -> None:
    approve(store)
    change_status(store, Status.UNDETERMINED)
    first = give_up(store, CHANGE)
    change_status(store, Status.REJECTED)
    second = give_up(store, CHANGE)
    with pytest.raises(ConflictError, match="a later change"):
        deliveries.redeliver(CHANGE, "ci.example", [first])
    assert deliveries.redeliver(CHANGE, "ci.example") == 1
    assert [entry.key for entry in store.outbox.claim(CHANGE, LATER, "a server", 10, 10)] == [second]


@limit_to_sqlite("store")
def test_an_image_that_is_not_approved_any_more_is_not_attested(store: Store, deliveries: FailedDeliveries) -> None:
    approve(store)
    key = give_up(store, ATTESTATION, "own registry")
    change_status(store, Status.REJECTED)
    with pytest.raises(ConflictError, match="not approved any more in web, but Rejected"):
        deliveries.redeliver(ATTESTATION, "own registry", [key])
    assert deliveries.redeliver(ATTESTATION, "own registry") == 0
    change_status(store, Status.APPROVED)
    assert deliveries.redeliver(ATTESTATION, "own registry", [key]) == 1


@pytest.mark.parametrize("kind", OutboxKind)
def test_a_message_of_every_kind_is_sent_again_once(
    store: Store, deliveries: FailedDeliveries, kind: OutboxKind
) -> None:
    receiver = LOG_TARGET if kind is OutboxKind.EVENT else "somewhere"
    payload = {"repository": "web", "policy": "default", "approval": "a"}
    entries = [
        OutboxEntry(kind, f"a/{number}", receiver, {**payload, "number": number}, due_since=NOW, next_at=NOW)
        for number in (1, 2)
    ]
    add_to_outbox(store, entries)
    for entry in store.outbox.claim(kind, NOW, "a server", 10, 10):
        store.outbox.fail(entry, "refused", None)
    assert deliveries.redeliver(kind, receiver, ["a/1"]) == 1
    with pytest.raises(ConflictError, match="was not given up"):
        deliveries.redeliver(kind, receiver, ["a/1"])
    assert deliveries.redeliver(kind, receiver) == 1
    assert deliveries.redeliver(kind, receiver) == 0
