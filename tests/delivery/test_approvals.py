"""What the answer to an approval is, and whose vote counts."""

from dataclasses import replace

import pytest

from dockgate.delivery.approvals import find_vote_objection, make_answer
from dockgate.delivery.model import Approval, ApprovalId, ApprovalState, Approvers
from dockgate.gate.model import InputDigests, Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal, Role

PEOPLE = {
    "ann": Principal("ann", (Role.APPROVER,), "ann@example.org"),
    "ben": Principal("ben", (Role.SECURITY,), "ben@example.org"),
    "cid": Principal("cid", (Role.APPROVER,), "Cid@example.org"),
    "dev": Principal("dev", (Role.DEVELOPER,), "dev@example.org"),
    "eve": Principal("eve", (Role.APPROVER,)),
    "gone": Principal("gone", (Role.ADMIN,), "gone@example.org", disabled_at="2026-01-01"),
}
WAITING = Approval(
    ApprovalId("a"), "token", "sha256:a", "web", PolicyReference("default"), "", "2026-01-01", "2026-01-08"
)


def make_verdict(image: str, status: Status, summary: str = "why") -> Verdict:
    return Verdict(image, PolicyReference("default"), status, summary, (), InputDigests((), "", "", "", "", ""))


def test_undetermined_blocks_like_a_rejection_and_says_why() -> None:
    judged_verdict = make_verdict("sha256:a", Status.UNDETERMINED, "no feed for Debian:14"), "sha256:v"
    answer = make_answer(WAITING, judged_verdict, "2026-01-02")
    assert (answer.state, answer.summary, answer.verdict) == (
        ApprovalState.REJECTED,
        "policy default: no feed for Debian:14",
        "sha256:v",
    )


@pytest.mark.parametrize(
    ("approvers", "counts"),
    [
        (Approvers(), {"ann", "ben"}),
        (Approvers(exclude_committer=False), {"ann", "ben", "cid", "eve"}),
        (Approvers(roles=(Role.SECURITY,)), {"ben"}),
        (Approvers(principals=("ann",)), {"ann"}),
        (Approvers(principals=("ann", "dev", "gone"), roles=(Role.SECURITY,)), {"ann", "ben"}),
    ],
)
def test_only_those_asked_count_and_never_a_committer(approvers: Approvers, counts: set[str]) -> None:
    committers = ("cid@EXAMPLE.org", "pusher")
    repository = "shop/app"
    assert {
        name for name, who in PEOPLE.items() if find_vote_objection(approvers, who, committers, repository) is None
    } == counts
    objection = find_vote_objection(Approvers(), replace(PEOPLE["ann"], name="pusher"), committers, repository)
    assert objection == "pusher contributed to this image (commit, push or start)"


def test_an_approval_without_a_verdict_waits_until_it_expires() -> None:
    assert make_answer(WAITING, None, "2026-01-07").state is ApprovalState.WAITING
    expired_answer = make_answer(WAITING, None, "2026-01-08")
    assert (expired_answer.state, expired_answer.decided_by) == (ApprovalState.EXPIRED, "timeout")


def test_an_approving_verdict_waits_for_people_and_names_them() -> None:
    approval, judged_verdict = (
        replace(WAITING, approvers=Approvers(count=2)),
        (make_verdict("sha256:a", Status.APPROVED), "sha256:v"),
    )
    waits = make_answer(approval, judged_verdict, "2026-01-02", ["ann"])
    assert (waits.state, waits.summary) == (ApprovalState.WAITING, "waiting for approvers; why")
    approval_answer = make_answer(approval, judged_verdict, "2026-01-02", ["ann", "ben"])
    assert (approval_answer.state, approval_answer.decided_by) == (ApprovalState.APPROVED, "ann, ben")
    assert approval_answer.summary == "why; approved by ann, ben"
