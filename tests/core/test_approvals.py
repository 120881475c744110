"""The rendezvous, driven through every order in which approvals, scans and their repeats can come."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from dockgate.core.approvals import Answer, Approval, ApprovalState, answer_waiting, of_verdict, shorten
from dockgate.core.verdict import Inputs, Status, Verdict

DIGESTS = ("sha256:a", "sha256:b")


def verdict(image: str, status: Status, summary: str = "why") -> Verdict:
    return Verdict(image, "default", status, summary, (), Inputs((), "", "", "", ""))


@dataclass
class Table:
    rows: dict[str, Approval] = field(default_factory=dict)
    answers: list[tuple[str, Answer]] = field(default_factory=list)

    def add(self, name: str, image: str) -> None:
        row = Approval(name, "token", image, "web", "default", "", "2026-01-01", "2026-01-08")
        self.rows.setdefault(name, row)

    def waiting(self, image: str) -> list[Approval]:
        return [row for row in self.rows.values() if row.image == image and row.state is ApprovalState.WAITING]

    def settle(self, approval_id: str, answer: Answer, now: str) -> bool:
        row = self.rows[approval_id]
        if row.state is not ApprovalState.WAITING:
            return False
        self.rows[approval_id] = replace(row, state=answer.state, settled_at=now)
        self.answers.append((approval_id, answer))
        return True

    def settle_all(self, approval_ids: Sequence[str], answer: Answer, now: str) -> int:
        return sum([self.settle(one, answer, now) for one in approval_ids])


@given(
    st.lists(
        st.tuples(st.sampled_from(["approval", "scan", "answer"]), st.integers(0, 5), st.sampled_from(DIGESTS)),
        max_size=30,
    )
)
def test_each_waiter_is_answered_exactly_once_whatever_comes_when(moves: list[tuple[str, int, str]]) -> None:
    table, scanned = Table(), set()

    def judge(approval: Approval) -> tuple[Verdict, str] | None:
        return (verdict(approval.image, Status.APPROVED), "sha256:v") if approval.image in scanned else None

    asked = set()
    for move, number, image in moves:
        if move == "approval":
            table.add(f"{image}/{number}", image)
            asked.add((f"{image}/{number}", image))
        elif move == "scan":
            scanned.add(image)
        answer_waiting(table, image, judge, "now")
    answered = [name for name, _ in table.answers]
    assert sorted(answered) == sorted({name for name, image in asked if image in scanned})
    assert {row.id for row in table.rows.values() if row.state is ApprovalState.WAITING} == {
        name for name, image in asked if image not in scanned
    }


def test_undetermined_blocks_like_a_rejection_and_says_why() -> None:
    answer = of_verdict(verdict("sha256:a", Status.UNDETERMINED, "no feed for Debian:14"), "sha256:v")
    assert (answer.state, answer.summary, answer.verdict) == (
        ApprovalState.REJECTED,
        "no feed for Debian:14",
        "sha256:v",
    )


def test_a_summary_fits_where_the_reference_solution_puts_it() -> None:
    assert shorten("x" * 512) == "x" * 512
    assert len(shorten("x" * 600)) == 512
    assert shorten("x" * 600).endswith("…")
