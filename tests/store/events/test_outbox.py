"""Contract of the store: the outbox of webhooks, events, attestations and provenance. Calls are made twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    add_to_outbox,
    answer_by_verdict,
    make_approval,
    open_store_of_kind,
)
from tests.store.risks import accept, reject

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.delivery.webhook_delivery import Callback
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.services.verdicts.attestations import MAX_LISTED, list_attestations
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.events.failed_entries import FailingCount
from dockgate.store.events.outbox import OWN_REGISTRY
from dockgate.store.records import BuiltStatement, OutboxEntry, OutboxKind

LATEST = "2026-11-24T12:00:00.000Z"
NEVER = "9999"
OTHER_IMAGE = "sha256:" + "b" * 64
VERDICT = "sha256:" + "d" * 64
APPROVED = Answer(ApprovalState.APPROVED, "nothing found", VERDICT)
CALLBACK = Callback("https://ci.example/", "whsec_c2VjcmV0")
RECEIVERS = ("log", "memory")
WEBHOOK, ATTESTATION, PROVENANCE, EVENT = (
    OutboxKind(name) for name in ("webhook", "attestation", "provenance", "event")
)


@dataclass(frozen=True)
class Notice:
    key: str
    body: str = "so it is"


NOTICE = Notice("waiver.expiring/1")


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def make_notice_entries(notice: Notice, now: str, receivers: Sequence[str] = RECEIVERS) -> list[OutboxEntry]:
    payload = {"body": notice.body, "n": 1}
    return [OutboxEntry(EVENT, notice.key, receiver, payload, due_since=now, next_at=now) for receiver in receivers]


def claim_entries(store: Store, kind: OutboxKind, now: str = LATEST, receiver: str | None = None) -> list[OutboxEntry]:
    store.outbox.release("a server")  # what an earlier call has claimed
    entries = store.outbox.claim(kind, now, "a server", 10, 10)
    return [entry for entry in entries if receiver in (None, entry.receiver)]


def notify(store: Store, notice: Notice = NOTICE, now: str = NOW) -> None:
    add_to_outbox(store, make_notice_entries(notice, now))


def with_callback(store: Store, name: str, callback: Callback = CALLBACK) -> None:
    for _ in range(2):
        store.approvals.add(make_approval(name), callback)


# --- entries ---------------------------------------------------------------------------------------------------------


def test_an_entry_is_due_to_each_receiver_once(store: Store) -> None:
    for now in (NOW, LATER):
        notify(store, replace(NOTICE, body=f"written {now}"), now)
    for receiver in RECEIVERS:
        (entry,) = claim_entries(store, EVENT, NOW, receiver)
        assert (entry.key, entry.payload) == (NOTICE.key, {"body": f"written {NOW}", "n": 1})
        assert (entry.due_since, entry.attempts) == (NOW, 0)
    assert claim_entries(store, EVENT, receiver="another") == []


def test_a_completed_entry_is_never_due_again_and_stays_due_to_other_receivers(store: Store) -> None:
    notify(store)
    (entry,) = claim_entries(store, EVENT, receiver="memory")
    for now, result in ((LATER, "first"), (LATEST, "second")):
        store.outbox.complete(entry, now, result)
    store.outbox.fail(entry, "too late", NOW)
    notify(store, now=LATEST)
    assert claim_entries(store, EVENT, receiver="memory") == []
    assert len(claim_entries(store, EVENT, receiver="log")) == 1
    (completed_entry,) = (entry for entry in store.outbox.list_entries(EVENT) if entry.receiver == "memory")
    assert (completed_entry.done_at, completed_entry.result, completed_entry.attempts, completed_entry.last_error) == (
        LATER,
        "first",
        0,
        None,
    )


def test_a_failed_entry_is_due_again_at_its_time_until_it_is_given_up(store: Store) -> None:
    notify(store)
    (entry,) = claim_entries(store, EVENT, receiver="memory")
    store.outbox.fail(entry, "no network", LATER)
    store.outbox.fail(entry, "the same attempt, recorded twice", LATEST)
    assert claim_entries(store, EVENT, NOW, "memory") == []
    (failed_entry,) = claim_entries(store, EVENT, LATER, "memory")
    assert (failed_entry.attempts, failed_entry.last_error) == (1, "no network")
    assert [entry.receiver for entry in store.failed_entries.list(10)] == ["memory"]
    store.outbox.fail(failed_entry, "still no network", None)
    assert claim_entries(store, EVENT, NEVER, "memory") == []
    (given_up,) = (entry for entry in store.outbox.list_entries(EVENT) if entry.receiver == "memory")
    assert (given_up.attempts, given_up.last_error, given_up.done_at) == (2, "still no network", None)
    assert store.failed_entries.list(10) == [given_up]


def test_a_dismissed_entry_fails_no_more_until_it_is_sent_again(store: Store) -> None:
    notify(store)
    (entry,) = claim_entries(store, EVENT, receiver="memory")
    failed_entries = store.failed_entries
    assert failed_entries.dismiss(EVENT, "memory", LATER, "ada", "gone", [entry.key]) == 0  # it is being sent
    store.outbox.fail(entry, "no network", LATER)
    assert failed_entries.dismiss(EVENT, "memory", LATER, "ada", "gone") == 0  # it is tried again
    (entry,) = claim_entries(store, EVENT, LATER, "memory")
    store.outbox.fail(entry, "still no network", None)
    assert failed_entries.dismiss(EVENT, "log", LATER, "ada", "gone", [entry.key]) == 0
    assert failed_entries.dismiss(EVENT, "memory", LATER, "ada", "gone", [entry.key]) == 1
    assert failed_entries.dismiss(EVENT, "memory", LATER, "ben", "twice", [entry.key]) == 0
    assert (failed_entries.list(10), list(failed_entries.count())) == ([], [])
    assert failed_entries.list_given_up(EVENT, "memory", 10) == []
    (dismissed_entry,) = failed_entries.list(10, is_dismissed=True)
    dismissal = dismissed_entry.dismissed_at, dismissed_entry.dismissed_by, dismissed_entry.dismissal_reason
    assert dismissal == (LATER, "ada", "gone")
    assert dismissed_entry.last_error == "still no network"
    assert failed_entries.redeliver(EVENT, "memory", LATER) == 0
    assert failed_entries.redeliver(EVENT, "memory", LATER, [entry.key]) == 1
    assert failed_entries.list(10, is_dismissed=True) == []
    (entry,) = claim_entries(store, EVENT, LATER, "memory")
    assert (entry.attempts, entry.dismissed_at, entry.dismissal_reason) == (0, None, None)
    store.outbox.fail(entry, "no network", None)
    assert failed_entries.dismiss(EVENT, "memory", LATER, "ada", "gone") == 1
    assert store.outbox.purge_delivered(EVENT, LATER) == 0
    assert store.outbox.purge_delivered(EVENT, NEVER) == 1


def test_the_longest_due_come_first_and_at_most_the_limit(store: Store) -> None:
    for number, now in enumerate((LATER, NOW, LATEST)):
        add_to_outbox(store, make_notice_entries(replace(NOTICE, key=str(number)), now, RECEIVERS[:1]))
    assert [entry.key for entry in store.outbox.claim(EVENT, LATEST, "a", 10, 2)] == ["1", "0"]


def test_a_claimed_entry_is_given_to_no_other_worker_at_any_time(store: Store) -> None:
    notify(store)
    (entry,) = store.outbox.claim(EVENT, NOW, "a", 1, 1)
    assert entry.claimed_by == "a"
    (second,) = store.outbox.claim(EVENT, NOW, "b", 1, 10)
    assert {entry.receiver, second.receiver} == set(RECEIVERS)
    for owner in ("a", "b", "c"):
        assert store.outbox.claim(EVENT, NEVER, owner, 1, 10) == []


def test_a_claim_ends_with_the_attempt(store: Store) -> None:
    notify(store)
    failed_entry, sent_entry = store.outbox.claim(EVENT, NOW, "a", 1, 10)
    store.outbox.fail(failed_entry, "no network", LATER)
    store.outbox.complete(sent_entry, LATER)
    (next_claim,) = store.outbox.claim(EVENT, LATER, "b", 1, 10)
    assert (next_claim.receiver, next_claim.attempts, next_claim.claimed_by) == (failed_entry.receiver, 1, "b")


def test_an_owner_whose_claim_has_passed_to_another_changes_nothing(store: Store) -> None:
    notify(store, now=NOW)
    late = store.outbox.claim(EVENT, NOW, "a", 1, 10)
    store.outbox.release("a")
    second_claim = store.outbox.claim(EVENT, LATER, "b", 1, 10)
    for entry in late:
        store.outbox.complete(entry, LATEST, "of a")
        store.outbox.fail(entry, "of a", LATEST)
    assert {entry.receiver: entry for entry in store.outbox.list_entries(EVENT)} == {
        entry.receiver: entry for entry in second_claim
    }
    for entry in second_claim:
        store.outbox.complete(entry, LATEST, "of b")
    assert {entry.result for entry in store.outbox.list_entries(EVENT)} == {"of b"}


def test_an_entry_that_is_given_back_may_be_claimed_at_once(store: Store) -> None:
    notify(store)
    (first,) = store.outbox.claim(EVENT, NOW, "a", 1, 1)
    for _ in range(2):
        store.outbox.give_back(first)
    assert len(store.outbox.claim(EVENT, NOW, "b", 1, 10)) == len(RECEIVERS)
    store.outbox.give_back(first)
    assert store.outbox.claim(EVENT, NOW, "c", 1, 10) == []


def test_the_claims_of_an_owner_are_released(store: Store) -> None:
    notify(store)
    for owner in ("a", "b"):
        assert len(store.outbox.claim(EVENT, NOW, owner, 1, 1)) == 1
    kinds: list[OutboxKind] = []
    store.outbox.watch(kinds.append)
    for _ in range(2):
        store.outbox.release("a")
    assert kinds == [EVENT]
    assert len(store.outbox.claim(EVENT, NOW, "c", 1, 10)) == 1
    store.outbox.release_lost(["a", "b", "c"])
    assert store.outbox.claim(EVENT, NOW, "d", 1, 10) == []
    store.outbox.release_lost(["c"])
    assert len(store.outbox.claim(EVENT, NOW, "d", 1, 10)) == 1


def test_a_receiver_has_as_many_claimed_entries_as_its_limit(store: Store) -> None:
    for key in ("1", "2", "3"):
        add_to_outbox(store, make_notice_entries(replace(NOTICE, key=key), NOW, RECEIVERS[:1]))
    first = store.outbox.claim(EVENT, NOW, "a", 2, 1)
    second = store.outbox.claim(EVENT, NOW, "b", 2, 10)
    assert ([entry.key for entry in first], [entry.key for entry in second]) == (["1"], ["2"])
    assert store.outbox.claim(EVENT, NOW, "c", 2, 10) == []
    store.outbox.complete(first[0], NOW)
    assert [entry.key for entry in store.outbox.claim(EVENT, NOW, "c", 2, 10)] == ["3"]


def test_old_entries_are_purged_that_were_sent_or_given_up(store: Store) -> None:
    for key, now in (("dead", NOW), ("sent", NOW), ("waiting", NOW), ("young", LATEST)):
        add_to_outbox(store, make_notice_entries(replace(NOTICE, key=key), now, RECEIVERS[:1]))
    dead_entry, sent_entry = sorted(claim_entries(store, EVENT, NOW), key=lambda entry: entry.key)[:2]
    store.outbox.fail(dead_entry, "gone", None)
    store.outbox.complete(sent_entry, NOW)
    assert [store.outbox.purge(EVENT, LATER) for _ in range(2)] == [2, 0]
    assert {entry.key for entry in store.outbox.list_entries(EVENT)} == {"waiting", "young"}


def test_watchers_learn_which_kinds_have_new_entries(store: Store) -> None:
    kinds: list[OutboxKind] = []
    store.outbox.watch(kinds.append)
    with_callback(store, "a")
    assert kinds == []
    store.approvals.settle(ApprovalId("a"), APPROVED, NOW)
    store.provenance.add(BuiltStatement("web-1/Build/Build/1", IMAGE, "components/web", "{}", NOW))
    assert kinds == [WEBHOOK, ATTESTATION, PROVENANCE]


# --- answers by callback ---------------------------------------------------------------------------------------------


def test_no_webhook_is_due_before_the_answer(store: Store) -> None:
    with_callback(store, "a")
    assert store.approvals.find_callback(ApprovalId("a")) == CALLBACK
    assert store.approvals.find_callback(ApprovalId("b")) is None
    assert claim_entries(store, WEBHOOK, NEVER) == []


def test_settling_an_approval_makes_its_webhook_due(store: Store) -> None:
    with_callback(store, "a")
    store.approvals.add(make_approval("without"))
    for now in (NOW, LATER):
        answer_by_verdict(store, ["a", "without"], APPROVED, now)
    (entry,) = claim_entries(store, WEBHOOK, NOW)
    assert (entry.key, entry.receiver, entry.due_since, entry.next_at) == ("a", "ci.example", NOW, NOW)


def test_each_receiver_gets_a_few_and_the_first_of_every_receiver_comes_first(store: Store) -> None:
    for name, host, now in (("a", "x", LATER), ("b", "x", NOW), ("c", "x", LATEST), ("d", "y", LATEST)):
        with_callback(store, name, Callback(f"https://{host}.example/", "whsec_c2VjcmV0"))
        store.approvals.settle(ApprovalId(name), APPROVED, now)
    assert [entry.key for entry in store.outbox.claim(WEBHOOK, LATEST, "a", 2, 10)] == ["b", "d", "a"]
    store.outbox.release("a")
    assert [entry.key for entry in store.outbox.claim(WEBHOOK, LATEST, "a", 3, 2)] == ["b", "d"]


def test_an_approval_is_kept_until_its_webhook_is_delivered(store: Store) -> None:
    with_callback(store, "a")
    store.approvals.settle(ApprovalId("a"), APPROVED, NOW)
    assert store.approvals.purge(LATEST) == 0
    store.outbox.complete(claim_entries(store, WEBHOOK)[0], NOW)
    assert store.approvals.purge(LATEST) == 1
    assert store.approvals.find_callback(ApprovalId("a")) is None


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_service_at_risk_is_announced_in_the_same_transaction_once(store: Store) -> None:
    store.services.put(
        Service("web", "podman", 1, 1), TaskDefinition("web", 1, "app", ImageReference("app", "sha256:1"))
    )

    def make_risk_event(until: str) -> list[NewEvent]:
        return [
            NewEvent(f"service.at_risk/{until}", "dockgate", "service.at_risk", EventSubject("service", "web"), NOW, {})
        ]

    def list_risk_ids() -> list[str]:
        return [event.id for event in store.event_log.read() if event.detail_type == "service.at_risk"]

    for until in (LATER, LATEST):
        reject(store, "web", "CVE-2026-1", until, make_risk_event(until))
    assert list_risk_ids() == [f"service.at_risk/{LATER}"]
    accept(store, "web", "sha256:another")
    assert len(list_risk_ids()) == 1
    reject(store, "web", "CVE-2026-2", LATEST, make_risk_event("again"))
    assert list_risk_ids() == [f"service.at_risk/{LATER}", "service.at_risk/again"]


# --- attestations and provenance -------------------------------------------------------------------------------------


def test_an_approval_by_a_verdict_is_attested_once(store: Store) -> None:
    store.approvals.add(make_approval("web-1/Gate/Approve/1"))
    for _ in range(2):
        store.approvals.settle(ApprovalId("web-1/Gate/Approve/1"), APPROVED, NOW)
    (entry,) = claim_entries(store, ATTESTATION)
    assert (entry.receiver, entry.image, entry.next_at) == (OWN_REGISTRY, IMAGE, NOW)
    assert entry.payload == {"verdict": VERDICT, "image": IMAGE, "repository": "components/web", "policy": "default"}
    store.outbox.complete(entry, LATER, "key")
    assert claim_entries(store, ATTESTATION, NEVER) == []
    (attestation,) = list_attestations(store.outbox, IMAGE)
    assert (attestation.verdict, attestation.key, attestation.attested_at) == (VERDICT, "key", LATER)
    assert list(list_attestations(store.outbox, OTHER_IMAGE)) == []


def test_only_approvals_by_a_verdict_are_attested(store: Store) -> None:
    for name, answer in (
        ("web-1/Gate/Approve/1", Answer(ApprovalState.APPROVED, "", None, "ana")),
        ("web-2/Gate/Approve/1", Answer(ApprovalState.REJECTED, "", VERDICT)),
    ):
        store.approvals.add(make_approval(name))
        store.approvals.settle(ApprovalId(name), answer, NOW)
    assert claim_entries(store, ATTESTATION, NEVER) == []


def test_approvals_by_one_verdict_share_an_attestation(store: Store) -> None:
    for number in (1, 2, 3):
        store.approvals.add(make_approval(f"web-{number}/Gate/Approve/1"))
    answer_by_verdict(store, [f"web-{number}/Gate/Approve/1" for number in (1, 2)], APPROVED)
    store.approvals.settle(ApprovalId("web-3/Gate/Approve/1"), APPROVED, LATER)
    assert len(claim_entries(store, ATTESTATION)) == 1


def test_images_in_other_registries_are_attested_there(store: Store) -> None:
    store.approvals.add(replace(make_approval("a"), repository="quay.io/team/web"))
    store.approvals.settle(ApprovalId("a"), APPROVED, NOW)
    assert [entry.receiver for entry in claim_entries(store, ATTESTATION)] == ["quay.io"]


def test_a_provenance_statement_is_due_until_it_is_attached(store: Store) -> None:
    statement = BuiltStatement("web-1/Build/Build/1", IMAGE, "components/web", "{}", NOW)
    for envelope in ("{}", "[]"):
        store.provenance.add(replace(statement, envelope=envelope))
    (entry,) = claim_entries(store, PROVENANCE)
    assert (entry.key, entry.image, entry.receiver) == (statement.build, IMAGE, OWN_REGISTRY)
    assert store.provenance.get_built_statement(entry.key) == statement
    store.outbox.complete(entry, LATER)
    store.provenance.add(statement)
    assert claim_entries(store, PROVENANCE, NEVER) == []


def test_failing_entries_of_each_kind_are_counted_however_many_others_fail(store: Store) -> None:
    for number in range(3):
        add_to_outbox(store, make_notice_entries(Notice(f"notice/{number}"), LATER, ["log"]))
    entry = OutboxEntry(ATTESTATION, "an attestation", "registry", {}, due_since=NOW, next_at=NOW)
    older = replace(entry, key="an older one", due_since="2026-01-01T00:00:00.000Z")
    add_to_outbox(store, [entry, older, replace(entry, key="waits")])
    first, *later_entries = claim_entries(store, EVENT)
    store.outbox.fail(first, "no answer", LATEST)
    for later_entry in later_entries:
        store.outbox.fail(later_entry, "refused", None)
    for attestation in claim_entries(store, ATTESTATION):
        if attestation.key != "waits":
            store.outbox.fail(attestation, f"no registry for {attestation.key}", None)
    attestations, events = store.failed_entries.count()
    assert attestations == FailingCount(ATTESTATION, 2, 2, "no registry for an attestation")
    assert events == FailingCount(EVENT, 3, 2, "refused")
    assert [row.key for row in store.failed_entries.list(9, kind=ATTESTATION)] == ["an attestation", "an older one"]
    assert [row.key for row in store.failed_entries.list(9, is_given_up=False)] == [first.key]


def test_attestations_in_other_repositories_do_not_count_for_a_limited_reader(store: Store) -> None:
    def make_entry(number: int, repository: str, now: str) -> OutboxEntry:
        payload = {"verdict": VERDICT, "image": IMAGE, "repository": repository, "policy": "default"}
        return OutboxEntry(ATTESTATION, f"{repository}/{number}", OWN_REGISTRY, payload, IMAGE, due_since=now)

    entries = [make_entry(0, "mine", NOW), *(make_entry(number, "foreign", LATER) for number in range(MAX_LISTED))]
    add_to_outbox(store, entries)
    assert len(list_attestations(store.outbox, IMAGE)) == MAX_LISTED
    assert [entry.repository for entry in list_attestations(store.outbox, IMAGE, ["mine"])] == ["mine"]
    assert len(list_attestations(store.outbox, IMAGE, ["foreign"])) == MAX_LISTED
