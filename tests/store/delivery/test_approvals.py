"""Contract of the store: approvals. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.store.factories import (
    FACTORIES,
    IMAGE,
    LATER,
    NOW,
    answer_by_verdict,
    list_waiting,
    make_approval,
    make_key,
    open_store_of_kind,
    start_at_gate,
)
from tests.store.images.test_images import CASE, VERDICT

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState, Approvers, RunState, Vote
from dockgate.gate.model import Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal, Role, Token
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store import Store
from dockgate.store.delivery.waiting_approvals import VoterFilter, WaitingApproval
from dockgate.store.queries import BATCH, make_row
from dockgate.store.schema.delivery import approvals

APPROVED = Answer(ApprovalState.APPROVED, "nothing found", "sha256:verdict")
WAITING = replace(APPROVED, state=ApprovalState.WAITING)
REJECTED = Answer(ApprovalState.REJECTED, "2 violations", "sha256:verdict", "ann")


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_an_approval_is_added_once(store: Store) -> None:
    first = make_approval("a")
    assert store.approvals.add(first) == first
    assert store.approvals.add(make_approval("a", image="sha256:other")) == first
    assert store.approvals.get(ApprovalId("a")) == first


def test_adding_a_settled_approval_again_returns_the_settled_one(store: Store) -> None:
    store.approvals.add(make_approval("a"))
    store.approvals.settle(ApprovalId("a"), REJECTED, LATER)
    assert store.approvals.add(make_approval("a")).state is ApprovalState.REJECTED


def test_many_approvals_wait_on_one_image_oldest_first(store: Store) -> None:
    for name in ("c", "a", "b"):
        store.approvals.add(make_approval(name))
    store.approvals.add(make_approval("elsewhere", image="sha256:other"))
    store.approvals.settle(ApprovalId("a"), APPROVED, LATER)
    assert [approval.id for approval in list_waiting(store, IMAGE)] == ["c", "b"]
    assert [approval.id for approval in store.approvals.list_for_image(IMAGE)] == ["c", "a", "b"]
    assert list(list_waiting(store, "sha256:unknown")) == []


def test_an_image_is_judged_for_all_approvals_once_each_has_a_verdict(store: Store) -> None:
    assert not store.approvals.has_unjudged(IMAGE)
    for number in (1, 2):
        store.approvals.add(replace(make_approval(f"web-{number}/Gate/Approve/1"), approvers=Approvers()))
    store.approvals.add(make_approval("other-1/Gate/Approve/1", "sha256:other"))
    assert store.approvals.has_unjudged(IMAGE)
    answer_by_verdict(store, ["web-1/Gate/Approve/1"], WAITING)
    assert store.approvals.has_unjudged(IMAGE)
    store.approvals.settle(ApprovalId("web-2/Gate/Approve/1"), Answer(ApprovalState.REJECTED, "", "sha256:v"), NOW)
    assert not store.approvals.has_unjudged(IMAGE)


def test_approvals_that_ask_for_the_same_wait_alike_and_those_with_people_alone(store: Store) -> None:
    rows = {
        "a": make_approval("a"),
        "b": replace(make_approval("b"), policy=PolicyReference("strict")),
        "c": replace(make_approval("c"), approvers=Approvers(count=1)),
        "d": make_approval("d"),
        "e": replace(make_approval("e"), service="shop"),
        "f": replace(make_approval("f"), repository="components/other"),
        "g": replace(make_approval("g"), approvers=Approvers(count=1)),
        "h": make_approval("h"),
    }
    for row in rows.values():
        store.approvals.add(row)
    store.approvals.settle(ApprovalId("h"), Answer(ApprovalState.APPROVED, ""), NOW)
    alike = [(rows["a"], ["a", "d"]), *((rows[name], [name]) for name in "bcefg")]
    assert store.approvals.list_waiting_groups(IMAGE) == alike
    assert store.approvals.list_waiting_groups("sha256:unknown") == []


def test_only_the_first_answer_settles_an_approval(store: Store) -> None:
    store.approvals.add(make_approval("a"))
    assert store.approvals.settle(ApprovalId("a"), REJECTED, LATER)
    assert not store.approvals.settle(ApprovalId("a"), REJECTED, LATER)
    assert not store.approvals.settle(ApprovalId("a"), APPROVED, "2026-11-24T12:00:00.000Z")
    settled_approval = store.approvals.get(ApprovalId("a"))
    assert (settled_approval.state, settled_approval.summary, settled_approval.settled_at) == (
        ApprovalState.REJECTED,
        "2 violations",
        LATER,
    )
    assert (settled_approval.verdict, settled_approval.decided_by) == ("sha256:verdict", "ann")


def test_an_unknown_approval_is_not_found(store: Store) -> None:
    assert not store.approvals.settle(ApprovalId("a"), APPROVED, NOW)
    with pytest.raises(NotFoundError, match="'a'") as error_info:
        store.approvals.get(ApprovalId("a"))
    assert "dockgate approval list" in str(error_info.value.advice)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (ApprovalState.APPROVED, RunState.SUCCEEDED),
        (ApprovalState.REJECTED, RunState.FAILED),
        (ApprovalState.EXPIRED, RunState.FAILED),
    ],
)
def test_an_answer_finishes_the_action_that_waits(store: Store, state: ApprovalState, action: RunState) -> None:
    start_at_gate(store)
    store.approvals.add(make_approval(str(make_key("Approve"))))
    store.executions.mark_waiting(make_key("Approve"))
    assert store.approvals.settle(ApprovalId.from_action(make_key("Approve")), Answer(state, "because"), LATER)
    run = store.executions.get_run(make_key("Approve"))
    assert (run.state, run.reason, run.finished_at) == (action, "because", LATER)
    assert store.executions.get_run(make_key("Second")).state is RunState.IN_PROGRESS
    store.executions.mark_waiting(make_key("Approve"))
    assert store.executions.get_run(make_key("Approve")) == run


def test_an_answer_before_the_action_waits_finishes_it_too(store: Store) -> None:
    start_at_gate(store)
    store.approvals.add(make_approval(str(make_key("Approve"))))
    store.approvals.settle(ApprovalId.from_action(make_key("Approve")), APPROVED, LATER)
    store.executions.mark_waiting(make_key("Approve"))
    assert store.executions.get_run(make_key("Approve")).state is RunState.SUCCEEDED


def test_an_answer_does_not_change_a_finished_action(store: Store) -> None:
    start_at_gate(store)
    store.approvals.add(make_approval(str(make_key("Approve"))))
    store.executions.finish(make_key("Approve"), RunState.FAILED, NOW, reason="first")
    assert store.approvals.settle(ApprovalId.from_action(make_key("Approve")), APPROVED, LATER)
    assert store.executions.get_run(make_key("Approve")).reason == "first"


def test_an_approval_of_a_stopped_execution_does_not_wait(store: Store) -> None:
    execution = start_at_gate(store)
    store.executions.stop(execution, "not now", NOW)
    for _ in range(2):
        assert store.approvals.add(make_approval(str(make_key("Approve")))).state is ApprovalState.CANCELLED
    assert list(list_waiting(store, IMAGE)) == []


def test_approvals_are_listed_newest_first(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.approvals.add(make_approval(name))
    store.approvals.settle(ApprovalId("b"), APPROVED, LATER)
    assert [approval.id for _, approval in store.approvals.list_page()] == ["c", "b", "a"]
    assert [approval.id for _, approval in store.approvals.list_page(limit=2)] == ["c", "b"]
    assert [approval.id for _, approval in store.approvals.list_page(ApprovalState.WAITING)] == ["c", "a"]
    assert [approval.id for _, approval in store.approvals.list_page(ApprovalState.APPROVED)] == ["b"]


def test_a_page_of_approvals_begins_behind_a_position(store: Store) -> None:
    for name in ("a", "b", "c", "d"):
        store.approvals.add(make_approval(name))
    store.approvals.settle(ApprovalId("b"), APPROVED, LATER)
    (position, first), *_ = store.approvals.list_page(limit=1)
    assert first.id == "d"
    assert [approval.id for _, approval in store.approvals.list_page(limit=2, after=position)] == ["c", "b"]
    waiting = store.approvals.list_page(ApprovalState.WAITING, 5, position)
    assert [approval.id for _, approval in waiting] == ["c", "a"]
    assert store.approvals.list_page(after=waiting[-1][0]) == []


def test_approvals_expire_after_their_time_limit(store: Store) -> None:
    store.approvals.add(make_approval("late", expires_at="2026-11-24T10:30:00.000Z"))
    store.approvals.add(make_approval("in time", expires_at="2026-11-24T11:00:00.001Z"))
    store.approvals.add(make_approval("now", expires_at=LATER))
    store.approvals.add(make_approval("answered", expires_at=NOW))
    store.approvals.settle(ApprovalId("answered"), APPROVED, NOW)
    assert [approval.id for approval in store.approvals.list_expired(LATER)] == ["late", "now"]


def test_open_executions_and_their_policies_are_found_by_the_image_of_their_approvals(store: Store) -> None:
    waits, answered_execution, stopped_execution = (start_at_gate(store, cause) for cause in ("a", "b", "c"))
    for execution in (waits, answered_execution, stopped_execution):
        store.approvals.add(make_approval(f"{execution}/Gate/Approve/1"))
        policy = PolicyReference(f"of-{execution}")
        store.approvals.add(replace(make_approval(f"{execution}/Gate/Second/1"), policy=policy))
    store.approvals.settle(ApprovalId(f"{answered_execution}/Gate/Approve/1"), APPROVED, LATER)
    store.executions.stop(stopped_execution, "", LATER)
    store.approvals.add(make_approval("of no execution"))
    assert list(store.approvals.list_open_executions(IMAGE)) == [waits, answered_execution]
    assert list(store.approvals.list_open_executions("sha256:other")) == []
    assert list(store.approvals.list_policies(waits, IMAGE)) == ["default", f"of-{waits}"]
    assert list(store.approvals.list_policies(waits, "sha256:other")) == []


def test_purge_deletes_only_settled_approvals_and_handled_events(store: Store) -> None:
    for name in ("old", "young", "waiting"):
        store.approvals.add(make_approval(name))
    old, waiting, young = (
        event.id
        for event in store.push_events.record_heads("web", dict.fromkeys(("old", "waiting", "young"), "a"), NOW)
    )
    store.approvals.settle(ApprovalId("old"), APPROVED, NOW)
    store.push_events.mark_handled(old, NOW)
    store.approvals.settle(ApprovalId("young"), APPROVED, LATER)
    store.push_events.mark_handled(young, LATER)
    assert store.approvals.purge(LATER) == 2
    assert store.approvals.purge(LATER) == 0
    assert [approval.id for _, approval in store.approvals.list_page()] == ["waiting", "young"]
    assert [approval.id for approval in store.push_events.list_unhandled()] == [waiting]
    assert store.push_events.get(young).handled_at == LATER
    with pytest.raises(NotFoundError):
        store.push_events.get(old)


def test_an_image_is_answerable_when_its_scan_is_over_and_approvals_wait(store: Store) -> None:
    store.approvals.add(make_approval("a"))
    assert list(store.approvals.list_answerable_images()) == []
    scan = store.images.request_scan(IMAGE, "components/web", NOW)
    assert list(store.approvals.list_answerable_images()) == []
    store.images.finish_scan(IMAGE, scan.number, (), "no such image", LATER)
    assert list(store.approvals.list_answerable_images()) == [IMAGE]
    store.approvals.settle(ApprovalId("a"), REJECTED, LATER)
    assert list(store.approvals.list_answerable_images()) == []


@pytest.fixture
def store_with_vote(store: Store) -> Store:
    """One approval that waits for people, and its action."""
    store.principals.add_first(Principal("ann", (Role.ADMIN,)), Token("a", "ann", "", "", ""))
    store.principals.add(Principal("ben", (Role.APPROVER,)))
    start_at_gate(store)
    approvers = Approvers(("ann",), (Role.APPROVER,), 2)
    waiting = make_approval(str(make_key("Approve")), expires_at="2026-11-25T10:00:00.000Z")
    store.approvals.add(replace(waiting, approvers=approvers, committers=("cid@example.org",)))
    store.executions.mark_waiting(make_key("Approve"))
    return store


def test_approvers_and_committers_are_stored_with_the_approval(store_with_vote: Store) -> None:
    stored_approval = store_with_vote.approvals.get(ApprovalId.from_action(make_key("Approve")))
    assert stored_approval.approvers == Approvers(("ann",), (Role.APPROVER,), 2)
    assert stored_approval.committers == ("cid@example.org",)
    for _ in range(2):
        answer_by_verdict(store_with_vote, [stored_approval.id], WAITING)
    waits = store_with_vote.approvals.get(stored_approval.id)
    assert (waits.state, waits.verdict, waits.summary) == (ApprovalState.WAITING, "sha256:verdict", "nothing found")


def test_only_the_first_vote_of_a_person_counts(store_with_vote: Store) -> None:
    approval_id = ApprovalId.from_action(make_key("Approve"))
    yes_vote = Vote(approval_id, "ann", True, "fine", NOW)
    assert store_with_vote.approvals.vote(yes_vote) == yes_vote
    assert store_with_vote.approvals.vote(Vote(approval_id, "ann", False, "no", LATER)) == yes_vote
    store_with_vote.approvals.vote(Vote(approval_id, "ben", True, "", LATER))
    assert [(vote.who, who.name) for vote, who in store_with_vote.approvals.list_votes(approval_id)] == [
        ("ann", "ann"),
        ("ben", "ben"),
    ]
    assert store_with_vote.approvals.get(approval_id).state is ApprovalState.WAITING


def test_what_waits_for_people_is_listed_with_those_who_voted_and_the_most_urgent_first(store_with_vote: Store) -> None:
    approvals, approval_id = store_with_vote.approvals, ApprovalId.from_action(make_key("Approve"))
    urgent = replace(make_approval("external/1"), approvers=Approvers())
    cancelled_approval = replace(urgent, id=ApprovalId("external/2"), state=ApprovalState.CANCELLED)
    for approval in (make_approval("external/automatic"), urgent, cancelled_approval):
        approvals.add(approval)
    for who in ("ben", "ann"):
        approvals.vote(Vote(approval_id, who, True, "", NOW))

    anyone = VoterFilter("cid")
    waiting, position = approvals.list_waiting_for_people(anyone, 2)
    assert [(approval.id, [voter.name for voter in approval.voters]) for approval in waiting] == [
        (urgent.id, []),
        (approval_id, ["ben", "ann"]),
    ]
    assert position is None
    for waiting_approval in waiting:
        stored_approval = approvals.get(waiting_approval.id)
        names = [field.name for field in fields(WaitingApproval) if field.name != "voters"]
        assert [getattr(waiting_approval, name) for name in names] == [getattr(stored_approval, name) for name in names]
    first, position = approvals.list_waiting_for_people(anyone, 1)
    second, end = approvals.list_waiting_for_people(anyone, 1, position)
    assert ([*first, *second], end) == (list(waiting), None)
    assert [approval.id for approval in approvals.list_waiting_for_people(VoterFilter("ann"), 2)[0]] == [urgent.id]


def test_a_vote_after_the_time_limit_does_not_count(store_with_vote: Store) -> None:
    approval_id = ApprovalId.from_action(make_key("Approve"))
    expires_at = store_with_vote.approvals.get(approval_id).expires_at
    in_time = Vote(approval_id, "ann", True, "", NOW)
    assert store_with_vote.approvals.vote(in_time) == in_time
    for is_yes in (True, False):
        with pytest.raises(ConflictError, match="time"):
            store_with_vote.approvals.vote(Vote(approval_id, "ben", is_yes, "", expires_at))
    assert [vote.who for vote, _ in store_with_vote.approvals.list_votes(approval_id)] == ["ann"]
    assert store_with_vote.approvals.vote(replace(in_time, at=expires_at)) == in_time
    assert store_with_vote.approvals.get(approval_id).state is ApprovalState.WAITING


def test_a_no_vote_rejects_the_approval_and_finishes_its_action(store_with_vote: Store) -> None:
    approval_id = ApprovalId.from_action(make_key("Approve"))
    settled_ids: list[str] = []
    store_with_vote.approvals.watch(settled_ids.extend)
    answer_by_verdict(store_with_vote, [approval_id], WAITING)
    no = Vote(approval_id, "ben", False, "not before the holidays", LATER)
    for _ in range(2):
        assert store_with_vote.approvals.vote(no) == no
    settled_approval = store_with_vote.approvals.get(approval_id)
    assert (settled_approval.state, settled_approval.decided_by, settled_approval.settled_at) == (
        ApprovalState.REJECTED,
        "ben",
        LATER,
    )
    assert settled_approval.verdict == APPROVED.verdict
    assert store_with_vote.executions.get_run(make_key("Approve")).state is RunState.FAILED
    assert settled_ids == [approval_id]
    with pytest.raises(ConflictError, match="settled"):
        store_with_vote.approvals.vote(Vote(approval_id, "ann", True, "", LATER))
    assert answer_by_verdict(store_with_vote, [approval_id], APPROVED) is None
    assert store_with_vote.approvals.get(approval_id) == settled_approval


def test_a_verdict_is_stored_with_the_answer_or_not_at_all(store: Store) -> None:
    gate = ApprovalId("web-1/Gate/Approve/1")
    store.approvals.add(replace(make_approval(gate), approvers=Approvers()))
    first, second = (
        store.verdicts.prepare(replace(VERDICT, summary=text), CASE, gate, "web") for text in ("first", "second")
    )

    def fail(_: object) -> Answer:
        raise ConflictError("no", "no")

    with pytest.raises(ConflictError):
        store.approvals.settle_by_verdict([gate], first, fail, NOW)
    assert list(store.verdicts.list_of_image(IMAGE)) == []
    assert store.approvals.settle_by_verdict([gate], first, lambda _: WAITING, NOW) == WAITING
    seen_verdicts: list[tuple[Verdict, str]] = []

    def answer(verdict: tuple[Verdict, str]) -> Answer:
        seen_verdicts.append(verdict)
        return replace(APPROVED, verdict=verdict[1])

    last_answer = store.approvals.settle_by_verdict([gate], second, answer, LATER)
    assert seen_verdicts == [(replace(VERDICT, summary="first"), first.digest)]
    assert last_answer is not None
    assert (store.approvals.get(gate).state, last_answer.verdict) == (ApprovalState.APPROVED, first.digest)
    assert store.approvals.settle_by_verdict([gate], second, fail, LATER) is None
    assert [record.digest for record in store.verdicts.list_of_image(IMAGE)] == [first.digest]
    kinds = [event.detail_type for event in store.event_log.read()]
    assert kinds == ["image.judged", "approval.needed"]


def test_many_approvals_are_settled_once_each_and_watchers_are_notified(store: Store) -> None:
    settled_ids: list[str] = []
    store.approvals.watch(settled_ids.extend)
    names = [f"{number}" for number in range(BATCH + 100)]
    with store.database.write() as connection:
        connection.execute(insert(approvals), [make_row(make_approval(name)) for name in names])
    store.approvals.settle(ApprovalId("7"), APPROVED, NOW)
    assert answer_by_verdict(store, names, APPROVED, LATER) == APPROVED
    assert answer_by_verdict(store, names, REJECTED) is None
    assert sorted(settled_ids) == sorted(names)
    assert list(list_waiting(store, IMAGE)) == []


def test_images_without_a_scan_request_are_found_by_their_oldest_approval(store: Store) -> None:
    for name, image in (("a", "sha256:1"), ("b", "sha256:1"), ("c", "sha256:2"), ("d", "sha256:3")):
        store.approvals.add(make_approval(name, image))
    store.images.request_scan("sha256:2", "web", NOW)
    store.approvals.settle(ApprovalId("d"), APPROVED, NOW)
    assert [waiting.id for waiting in store.approvals.list_unscanned()] == ["a"]


def test_rows_are_read_with_the_types_of_their_texts(store: Store) -> None:
    execution = start_at_gate(store)
    key = make_key("Approve", execution=execution)
    store.approvals.add(replace(make_approval(str(key)), policy=PolicyReference.make("strict", "sha256:1")))
    approval = store.approvals.get(ApprovalId.from_action(key))
    assert (approval.id.action, approval.policy.server_policy) == (key, "strict")
    ((first, ids),) = store.approvals.list_waiting_groups(IMAGE)
    assert (first.id.is_external, ids[0].action) == (False, key)
    assert store.approvals.list_open_executions(IMAGE)[0].pipeline == "web"
    assert store.executions.get(execution).id.number == "1"
    assert store.executions.list_runs(execution)[0].key.execution.pipeline == "web"
