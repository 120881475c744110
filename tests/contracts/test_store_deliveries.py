"""What every store promises of deliveries. Each changing call is made twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, approval, opened

from dockgate.delivery.model import Answer, ApprovalState
from dockgate.delivery.webhook_delivery import Callback, Delivery, delivery, event
from dockgate.store import Store

APPROVED = Answer(ApprovalState.APPROVED, "nothing found", "sha256:verdict")
LATEST = "2026-11-24T12:00:00.000Z"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as store:
        yield store


def waiting(store: Store, name: str) -> Delivery:
    made = delivery(name, Callback("https://ci.example/", "whsec_c2VjcmV0"))
    for _ in range(2):
        store.approvals.add(approval(name), made)
    return made


def test_nothing_is_due_before_the_answer(store: Store) -> None:
    made = waiting(store, "a")
    assert store.deliveries.get("a") == made
    assert store.deliveries.get("b") is None
    assert list(store.deliveries.due(LATEST, 10, 10)) == []


def test_an_answer_makes_its_delivery_due_with_its_body(store: Store) -> None:
    made = waiting(store, "a")
    store.approvals.add(approval("without"))
    for now in (NOW, LATER):
        store.approvals.settle_all(["a", "without"], APPROVED, now)
    (due,) = store.deliveries.due(NOW, 10, 10)
    assert (due.id, due.since, due.next_at, due.attempts) == (made.id, NOW, NOW, 0)
    assert due.body == event(store.approvals.get("a"))
    assert '"state":"Approved"' in due.body


def test_what_was_delivered_is_not_due_again(store: Store) -> None:
    made = waiting(store, "a")
    store.approvals.settle("a", APPROVED, NOW)
    for now in (LATER, LATEST):
        store.deliveries.delivered(made.id, now)
    store.deliveries.failed(made.id, 1, "too late", LATEST)
    assert list(store.deliveries.due(LATEST, 10, 10)) == []
    found = store.deliveries.get("a")
    assert found is not None
    assert (found.delivered_at, found.next_at, found.attempts) == (LATER, "", 0)


def test_what_failed_is_due_at_its_time_until_it_is_given_up(store: Store) -> None:
    made = waiting(store, "a")
    store.approvals.settle("a", APPROVED, NOW)
    for _ in range(2):
        store.deliveries.failed(made.id, 1, "refused", LATER)
    assert list(store.deliveries.due(NOW, 10, 10)) == []
    (due,) = store.deliveries.due(LATER, 10, 10)
    assert (due.attempts, due.last_error) == (1, "refused")
    store.deliveries.failed(made.id, 2, "refused again", "")
    assert list(store.deliveries.due(LATEST, 10, 10)) == []


def test_the_longest_due_come_first_a_few_of_each_receiver(store: Store) -> None:
    for name, host, now in (("a", "x", LATER), ("b", "x", NOW), ("c", "x", LATEST), ("d", "y", LATEST)):
        store.approvals.add(approval(name), delivery(name, Callback(f"https://{host}.example/", "whsec_c2VjcmV0")))
        store.approvals.settle(name, APPROVED, now)
    assert [one.approval for one in store.deliveries.due(LATEST, 2, 10)] == ["b", "d", "a"]
    assert [one.approval for one in store.deliveries.due(LATEST, 3, 2)] == ["b", "d"]


def test_an_approval_stays_while_its_answer_is_to_be_delivered(store: Store) -> None:
    made = waiting(store, "a")
    store.approvals.settle("a", APPROVED, NOW)
    assert store.approvals.purge(LATEST) == 0
    store.deliveries.delivered(made.id, NOW)
    assert store.approvals.purge(LATEST) == 1
    assert store.deliveries.get("a") is None


def test_many_are_settled_at_once_each_once_and_watchers_are_told(store: Store) -> None:
    told: list[str] = []
    store.approvals.watch(told.extend)
    names = [f"{number}" for number in range(1200)]
    for name in names:
        store.approvals.add(approval(name))
    store.approvals.settle("7", APPROVED, NOW)
    assert store.approvals.settle_all(names, APPROVED, LATER) == 1199
    assert store.approvals.settle_all(names, APPROVED, LATEST) == 0
    assert sorted(told) == sorted(names)
    assert list(store.approvals.waiting(IMAGE)) == []


def test_images_whose_scan_was_never_asked_for_are_found_by_their_oldest_approval(store: Store) -> None:
    for name, image in (("a", "sha256:1"), ("b", "sha256:1"), ("c", "sha256:2"), ("d", "sha256:3")):
        store.approvals.add(approval(name, image))
    store.images.request_scan("sha256:2", "web", NOW)
    store.approvals.settle("d", APPROVED, NOW)
    assert [one.id for one in store.approvals.unscanned()] == ["a"]
