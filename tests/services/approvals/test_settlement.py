"""The loop that answers waiting approvals, driven through every order in which approvals, scans and their repeats can
come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.test_approvals import PEOPLE, make_verdict

from dockgate.delivery.model import Answer, Approval, ApprovalId, ApprovalState, Approvers, ExecutionId, Vote
from dockgate.gate.model import Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal
from dockgate.services.approvals.settlement import ApprovalSettler, JudgeApproval
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict

DIGESTS = ("sha256:a", "sha256:b")
NOT_USED: Any = None


@dataclass
class Table:
    rows: dict[str, Approval] = field(default_factory=dict)
    answers: list[tuple[str, Answer]] = field(default_factory=list)
    cast: list[Vote] = field(default_factory=list)
    people: Mapping[str, Principal] = field(default_factory=lambda: PEOPLE)

    def add(self, name: str, image: str) -> None:
        row = Approval(
            ApprovalId(name), "token", image, "web", PolicyReference("default"), "", "2026-01-01", "2026-01-08"
        )
        self.rows.setdefault(name, row)

    def list_waiting_groups(self, image: str) -> list[tuple[Approval, list[ApprovalId]]]:
        waiting = [row for row in self.rows.values() if row.image == image and row.state is ApprovalState.WAITING]
        people = [(row, [row.id]) for row in waiting if row.approvers is not None]
        alike = [row for row in waiting if row.approvers is None]
        return [*people, *([(alike[0], [row.id for row in alike])] if alike else [])]

    def settle(self, approval_id: ApprovalId, answer: Answer, now: str) -> bool:
        row = self.rows[approval_id]
        if row.state is not ApprovalState.WAITING:
            return False
        self.rows[approval_id] = replace(row, state=answer.state, settled_at=now)
        self.answers.append((approval_id, answer))
        return True

    def settle_by_verdict(
        self,
        approval_ids: Sequence[ApprovalId],
        unstored_verdict: UnstoredVerdict,
        make_answer: Callable[[tuple[Verdict, str]], Answer],
        now: str,
    ) -> Answer | None:
        waiting = [item for item in approval_ids if self.rows[item].state is ApprovalState.WAITING]
        if not waiting:
            return None
        answer = make_answer((unstored_verdict.verdict, unstored_verdict.digest))
        for item in waiting:
            if answer.state is ApprovalState.WAITING:
                self.rows[item] = replace(self.rows[item], verdict=answer.verdict)
            else:
                self.settle(item, answer, now)
        return answer

    def list_open_executions(self, image: str) -> list[ExecutionId]:
        return []

    def list_votes(self, approval_id: ApprovalId) -> list[tuple[Vote, Principal]]:
        return [(vote, self.people[vote.who]) for vote in self.cast if vote.approval == approval_id]


def judge_as(approval: Approval, cause: str, status: Status, summary: str = "why") -> UnstoredVerdict:
    verdict = make_verdict(approval.image, status, summary)
    return UnstoredVerdict(verdict, f"sha256:{cause}", cause, approval.repository, None, ())


def settle(table: Table, image: str, judge: JudgeApproval) -> None:
    clock = ServerClock(lambda: datetime(2026, 1, 2, tzinfo=UTC))
    approvals: Any = table
    ApprovalSettler(approvals, judge, lambda caller: caller, clock, Effects(), NOT_USED).settle(image)


@given(
    st.lists(
        st.tuples(st.sampled_from(["approval", "scan", "answer"]), st.integers(0, 5), st.sampled_from(DIGESTS)),
        max_size=30,
    )
)
def test_each_waiting_approval_is_answered_exactly_once_in_any_order(moves: list[tuple[str, int, str]]) -> None:
    table, scanned_images = Table(), set()

    def judge(approval: Approval, cause: str) -> UnstoredVerdict | None:
        return judge_as(approval, cause, Status.APPROVED) if approval.image in scanned_images else None

    request = set()
    for move, number, image in moves:
        if move == "approval":
            table.add(f"{image}/{number}", image)
            request.add((f"{image}/{number}", image))
        elif move == "scan":
            scanned_images.add(image)
        settle(table, image, judge)
    answered_approvals = [name for name, _ in table.answers]
    assert sorted(answered_approvals) == sorted({name for name, image in request if image in scanned_images})
    assert {row.id for row in table.rows.values() if row.state is ApprovalState.WAITING} == {
        name for name, image in request if image not in scanned_images
    }


MOVES = st.one_of(st.sampled_from(["ask", "scan", "answer"]), st.sampled_from(sorted(PEOPLE)))


@given(st.lists(MOVES, max_size=20), st.sampled_from([Status.APPROVED, Status.REJECTED]), st.integers(1, 3))
def test_people_and_verdict_are_both_needed_in_whatever_order_they_come(
    moves: list[str], status: Status, count: int
) -> None:
    table, past_events = Table(), set()
    causes: list[str] = []

    def judge(approval: Approval, cause: str) -> UnstoredVerdict | None:
        causes.append(cause)
        return judge_as(approval, cause, status) if "scan" in past_events else None

    for move in moves:
        past_events.add(move)
        if move == "ask":
            table.add("a", "sha256:a")
            row = table.rows["a"]
            table.rows["a"] = replace(row, approvers=Approvers(count=count), committers=("cid@example.org",))
        elif move in PEOPLE and "a" in table.rows and move not in [vote.who for vote in table.cast]:
            table.cast.append(Vote(ApprovalId("a"), move, True, "", "now"))
        settle(table, "sha256:a", judge)
    approval_count = len({vote.who for vote in table.cast} & {"ann", "ben"})
    is_settled = {"ask", "scan"} <= past_events and (status is Status.REJECTED or approval_count >= count)
    assert len(table.answers) == is_settled
    if is_settled:
        _, answer = table.answers[0]
        assert (answer.state is ApprovalState.APPROVED) == (status is Status.APPROVED)
    assert causes.count("a/people") <= 1


def test_votes_of_one_mailbox_count_once() -> None:
    """Its principals may have had other addresses when they voted: an identity provider can change them."""
    ann_again = replace(PEOPLE["ann"], name="ann-again", email="Ann+work@example.org")
    table = Table(people={**PEOPLE, "ann-again": ann_again})
    table.add("a", "sha256:a")
    table.rows["a"] = replace(table.rows["a"], approvers=Approvers(count=2))

    def judge(approval: Approval, cause: str) -> UnstoredVerdict:
        return judge_as(approval, cause, Status.APPROVED)

    table.cast += [Vote(ApprovalId("a"), "ann", True, "", "now"), Vote(ApprovalId("a"), "ann-again", True, "", "now")]
    settle(table, "sha256:a", judge)
    assert table.answers == []
    table.cast.append(Vote(ApprovalId("a"), "ben", True, "", "now"))
    settle(table, "sha256:a", judge)
    assert [(answer.state, answer.decided_by) for _, answer in table.answers] == [(ApprovalState.APPROVED, "ann, ben")]


def test_an_approval_is_rejected_by_a_verdict_that_changed_before_the_last_vote() -> None:
    table = Table()
    table.add("a", "sha256:a")
    table.rows["a"] = replace(table.rows["a"], approvers=Approvers())

    def judge(approval: Approval, cause: str) -> UnstoredVerdict:
        status = Status.REJECTED if cause.endswith("/people") else Status.APPROVED
        return judge_as(approval, cause, status, "a new advisory")

    settle(table, "sha256:a", judge)
    assert table.answers == []
    table.cast.append(Vote(ApprovalId("a"), "ann", True, "", "now"))
    settle(table, "sha256:a", judge)
    assert [(answer.state, answer.summary) for _, answer in table.answers] == [
        (ApprovalState.REJECTED, "policy default: a new advisory")
    ]
