"""What the answer to an approval is, and whose vote counts."""

from dataclasses import replace

import pytest

from dockgate.delivery.approvals import (
    find_decision_objection,
    find_expiry,
    find_vote_objection,
    has_enough_votes,
    make_answer,
)
from dockgate.delivery.model import Approval, ApprovalId, ApprovalState, Approvers, Vote
from dockgate.gate.model import InputDigests, Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller, Permission, Principal, ProjectRole, RepositoryScope, Role

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
    answer = make_answer(WAITING, judged_verdict)
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
        name
        for name, who in PEOPLE.items()
        if find_vote_objection(approvers, Caller(who), committers, repository) is None
    } == counts
    pusher = Caller(replace(PEOPLE["ann"], name="pusher"))
    objection = find_vote_objection(Approvers(), pusher, committers, repository)
    assert objection == "pusher contributed to this image (commit, push or start)"


@pytest.mark.parametrize(
    ("approvers", "is_one"),
    [
        (Approvers(), True),
        (Approvers(roles=(Role.APPROVER,)), True),
        (Approvers(roles=(Role.SECURITY,)), False),
        (Approvers(principals=("ann",)), False),
    ],
)
def test_a_role_for_a_git_repository_counts_for_what_its_pipelines_build(approvers: Approvers, is_one: bool) -> None:
    principal = Principal("eli", (), "eli@example.org", project_roles=(ProjectRole(Role.APPROVER, "web"),))
    project = RepositoryScope(("web",), built_repositories=frozenset({"web/app"}))
    voter = Caller(principal, projects={Permission.DECIDE: project, Role.APPROVER: project})
    assert (find_vote_objection(approvers, voter, (), "web/app") is None) == is_one
    assert find_vote_objection(approvers, voter, (), "web/other") == "eli does not have the permission to decide"
    unknown_projects = Caller(principal)
    assert find_vote_objection(approvers, unknown_projects, (), "web/app") is not None


def test_a_person_may_decide_once_under_any_name() -> None:
    ann_again = Caller(replace(PEOPLE["ann"], name="ann-again", email="Ann+work@example.org"))
    voters = [PEOPLE["ben"], PEOPLE["ann"]]
    assert find_decision_objection(Approvers(), Caller(PEOPLE["ann"]), (), "web", voters) == "ann has voted"
    objection = find_decision_objection(Approvers(), ann_again, (), "web", voters)
    assert objection == "ann-again has the mailbox of ann, who has voted"
    assert find_decision_objection(Approvers(), ann_again, (), "web", voters[:1]) is None


def test_a_local_caller_may_decide_while_there_are_no_principals() -> None:
    assert find_decision_objection(Approvers(), Caller(LOCAL), (), "web", ()) is None


def test_an_approval_without_a_verdict_waits_until_it_expires() -> None:
    assert find_expiry(WAITING, "2026-01-07") is None
    expired_answer = find_expiry(WAITING, "2026-01-08")
    assert expired_answer is not None
    assert (expired_answer.state, expired_answer.decided_by) == (ApprovalState.EXPIRED, "timeout")


def test_an_approving_verdict_waits_for_people_and_names_them() -> None:
    approval, judged_verdict = (
        replace(WAITING, approvers=Approvers(count=2)),
        (make_verdict("sha256:a", Status.APPROVED), "sha256:v"),
    )
    votes = [
        (Vote(WAITING.id, name, name != "ben", "", "2026-01-01"), Caller(PEOPLE[name]))
        for name in ("ann", "dev", "eve", "ben")
    ]
    assert not has_enough_votes(approval, votes)
    waits = make_answer(approval, judged_verdict, votes)
    assert (waits.state, waits.summary) == (ApprovalState.WAITING, "waiting for approvers; why")
    votes.append((Vote(WAITING.id, "cid", True, "", "2026-01-01"), Caller(PEOPLE["cid"])))
    assert has_enough_votes(approval, votes)
    approval_answer = make_answer(approval, judged_verdict, votes)
    assert (approval_answer.state, approval_answer.decided_by) == (ApprovalState.APPROVED, "ann, cid")
    assert approval_answer.summary == "why; approved by ann, cid"
