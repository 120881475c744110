"""Contract of the store: approved images that are followed. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, make_approval, open_store_of_kind

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.delivery.webhook_delivery import Callback
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store import Store
from dockgate.store.records import FollowedImage, OutboxKind

VERDICT, CHANGED = "sha256:" + "b" * 64, "sha256:" + "c" * 64
HOOK = Callback("https://ci.example/hook", "whsec_x")


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def settle(
    store: Store, name: str, callback: Callback | None = HOOK, state: ApprovalState = ApprovalState.APPROVED
) -> None:
    approval = store.approvals.add(replace(make_approval(name), repository="web"), callback)
    for _ in range(2):
        store.approvals.settle(approval.id, Answer(state, "as planned", VERDICT), NOW)


def get_followed_image(store: Store) -> FollowedImage:
    (followed_image,) = store.followed_images.list()
    return followed_image


def test_an_image_that_a_verdict_approved_is_followed_once(store: Store) -> None:
    settle(store, "one")
    settle(store, "two")
    assert get_followed_image(store) == FollowedImage(
        IMAGE, "web", make_approval("one").policy, Status.APPROVED, VERDICT, None, NOW
    )


def test_a_rejected_image_is_not_followed(store: Store) -> None:
    settle(store, "one", state=ApprovalState.REJECTED)
    assert list(store.followed_images.list()) == []


def test_a_change_is_sent_once_to_each_callback_over_http(store: Store) -> None:
    settle(store, "one")
    settle(store, "two", Callback("https://other.example/hook", "whsec_y"))
    settle(store, "three", Callback("codepipeline:job", "whsec_z"))
    settle(store, "four", None)
    before = get_followed_image(store)
    assert store.followed_images.change(before, Status.REJECTED, CHANGED, "1 CRITICAL", LATER)
    assert not store.followed_images.change(before, Status.REJECTED, CHANGED, "1 CRITICAL", LATER)
    entries = store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)
    assert [(entry.key, entry.receiver, entry.payload["status"]) for entry in entries] == [
        ("one/1", "ci.example", "Rejected"),
        ("two/1", "other.example", "Rejected"),
    ]
    after = get_followed_image(store)
    assert (after.status, after.verdict, after.changed_at, after.changes) == (Status.REJECTED, CHANGED, LATER, 1)
    assert store.followed_images.change(after, Status.APPROVED, VERDICT, "fine", LATER)
    assert len(store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)) == 2


@pytest.mark.parametrize(("before", "after"), [(LATER, "2099"), (NOW, NOW)], ids=["settled", "clock ahead"])
def test_a_better_status_is_sent_once_after_it_has_settled(store: Store, before: str, after: str) -> None:
    settle(store, "one")
    store.followed_images.change(get_followed_image(store), Status.REJECTED, CHANGED, "1 CRITICAL", NOW)
    store.followed_images.change(get_followed_image(store), Status.APPROVED, VERDICT, "fine", LATER)
    store.followed_images.settle(NOW, "2099", LATER)
    assert len(store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)) == 1
    for _ in range(2):
        store.followed_images.settle(before, after, LATER)
    first, second = sorted(store.outbox.list_entries(OutboxKind.VERDICT_CHANGE), key=lambda entry: entry.key)
    names = ("before", "status", "summary", "verdict", "number")
    assert [second.payload[name] for name in names] == ["Rejected", "Approved", "fine", VERDICT, 2]
    assert (first.key, second.key, second.position) == ("one/1", "one/2", 2)


def test_a_watch_that_a_clock_ended_which_was_ahead_is_no_news(store: Store) -> None:
    settle(store, "one")
    for _ in range(3):
        store.followed_images.end_watch(get_followed_image(store), "not watched", "2099-01-01T00:00:00.000Z")
        store.followed_images.change(get_followed_image(store), Status.APPROVED, VERDICT, "good", LATER)
    (entry,) = store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)
    assert entry.payload["status"] == "Undetermined"


def test_a_renewal_is_due_once_and_replaces_the_one_that_is_done(store: Store) -> None:
    settle(store, "one", None)
    followed_image = get_followed_image(store)
    assert store.followed_images.renew(followed_image, VERDICT, NOW, LATER)
    assert not store.followed_images.renew(followed_image, VERDICT, NOW, LATER)
    renewed_image = get_followed_image(store)
    assert renewed_image.renew_at == LATER
    first, renewal = sorted(store.outbox.list_entries(OutboxKind.ATTESTATION), key=lambda entry: "renewed" in entry.key)
    assert (renewal.payload["renewed_at"], "renewed_at" in first.payload) == (NOW, False)
    store.outbox.complete(renewal, NOW, "key")
    assert store.followed_images.renew(renewed_image, VERDICT, LATER, "2027")
    keys = [entry.key for entry in store.outbox.list_entries(OutboxKind.ATTESTATION)]
    assert renewal.key not in keys
    assert len(keys) == 2


def test_a_renewal_replaces_none_of_a_policy_whose_name_differs_in_case(store: Store) -> None:
    for name in ("Strict", "strict"):
        store.approvals.add(replace(make_approval(name), repository="web", policy=PolicyReference(name)), None)
        store.approvals.settle(ApprovalId(name), Answer(ApprovalState.APPROVED, "", VERDICT), NOW)
    upper, lower = sorted(store.followed_images.list(), key=lambda followed_image: followed_image.policy)
    assert store.followed_images.renew(upper, VERDICT, NOW, LATER)
    (renewal,) = (entry for entry in store.outbox.list_entries(OutboxKind.ATTESTATION) if "/renewed/" in entry.key)
    store.outbox.complete(renewal, NOW, "key")
    assert store.followed_images.renew(lower, VERDICT, NOW, LATER)
    assert renewal.key in [entry.key for entry in store.outbox.list_entries(OutboxKind.ATTESTATION)]


def test_a_followed_image_that_is_not_approved_is_not_renewed(store: Store) -> None:
    settle(store, "one", None)
    followed_image = get_followed_image(store)
    store.followed_images.change(followed_image, Status.REJECTED, CHANGED, "bad", NOW)
    assert not store.followed_images.renew(followed_image, VERDICT, NOW, LATER)
    assert not store.followed_images.renew(get_followed_image(store), VERDICT, NOW, LATER)


def test_the_end_of_a_watch_is_sent_once_and_the_image_may_be_watched_again(store: Store) -> None:
    settle(store, "one")
    followed_image = get_followed_image(store)
    assert store.followed_images.end_watch(followed_image, "not watched", LATER)
    assert not store.followed_images.end_watch(followed_image, "not watched", LATER)
    assert (get_followed_image(store).status, get_followed_image(store).unwatched_at) == (Status.UNDETERMINED, LATER)
    assert store.followed_images.change(get_followed_image(store), Status.APPROVED, VERDICT, "good", LATER)
    assert (get_followed_image(store).status, get_followed_image(store).unwatched_at) == (Status.APPROVED, None)
    first, second = store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)
    assert (first.payload["status"], first.payload["verdict"]) == ("Undetermined", None)
    assert (second.payload["before"], second.payload["status"]) == ("Undetermined", "Approved")


def test_an_image_that_was_not_watched_any_more_is_followed_again_after_another_approval(store: Store) -> None:
    settle(store, "one")
    store.followed_images.end_watch(get_followed_image(store), "not watched", NOW)
    settle(store, "two", Callback("https://second.example/hook", "whsec_y"))
    assert (
        get_followed_image(store).status,
        get_followed_image(store).unwatched_at,
        get_followed_image(store).changes,
    ) == (Status.APPROVED, None, 2)
    entries = store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)
    assert [(entry.receiver, entry.payload["status"]) for entry in entries] == [
        ("ci.example", "Undetermined"),
        ("ci.example", "Approved"),
    ]


def test_only_an_image_that_is_not_watched_is_forgotten(store: Store) -> None:
    settle(store, "one")
    store.followed_images.forget(get_followed_image(store))
    store.followed_images.end_watch(get_followed_image(store), "not watched", LATER)
    for followed_image in [get_followed_image(store)] * 2:
        store.followed_images.forget(followed_image)
    assert list(store.followed_images.list()) == []


def test_a_watch_that_ends_while_the_verdict_is_undetermined_is_not_sent(store: Store) -> None:
    settle(store, "one")
    store.followed_images.change(get_followed_image(store), Status.UNDETERMINED, CHANGED, "stale", NOW)
    assert store.followed_images.end_watch(get_followed_image(store), "not watched", LATER)
    assert store.followed_images.change(get_followed_image(store), Status.UNDETERMINED, CHANGED, "stale", LATER)
    assert get_followed_image(store).unwatched_at is None
    assert len(store.outbox.list_entries(OutboxKind.VERDICT_CHANGE)) == 1


def test_the_revision_changes_with_what_is_followed_and_with_what_becomes_due(store: Store) -> None:
    never = "2000"

    def read_revision(now: str = NOW, first_renewal_of: str = never) -> str:
        return store.followed_images.read_revision(now, first_renewal_of)

    revisions = [read_revision()]
    settle(store, "one", None)
    revisions.append(read_revision())
    assert read_revision(first_renewal_of=NOW) != revisions[-1]
    store.followed_images.renew(get_followed_image(store), VERDICT, NOW, LATER)
    assert read_revision() == revisions[-1]
    assert read_revision(LATER) != revisions[-1]
    store.followed_images.change(get_followed_image(store), Status.REJECTED, CHANGED, "bad", LATER)
    revisions.append(read_revision())
    store.followed_images.change(get_followed_image(store), Status.APPROVED, CHANGED, "good", LATER)
    revisions.append(read_revision())
    store.followed_images.end_watch(get_followed_image(store), "not watched", LATER)
    store.followed_images.forget(get_followed_image(store))
    assert len({*revisions}) == len(revisions)
    assert read_revision() == revisions[0]
