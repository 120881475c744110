"""Settle approvals when both the request and the scan are there.

The approval and the scan may come in either order, and each may come twice. Both write their own row first and call
`answer_waiting` afterwards, so the later one always sees both rows. A table settles an approval only while it waits:
every approval gets exactly one answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from dockgate.delivery.contributors import HAS_NO_EMAIL, IS_CONTRIBUTOR, is_contributor
from dockgate.delivery.model import Answer, Approval, ApprovalState, Approvers, Vote
from dockgate.gate.model import Status, Verdict
from dockgate.gate.summaries import shorten
from dockgate.identity.model import Permission, Principal


class ApprovalTable(Protocol):
    """Stores approvals. Only `settle`, `settle_all` and a rejecting vote end the state WAITING."""

    def waiting(self, image: str) -> Sequence[Approval]:
        """The approvals that wait on this image, oldest first."""
        ...

    def settle(self, approval_id: str, answer: Answer, now: str) -> bool:
        """Settle the approval and finish the waiting action, in one transaction. False if it was settled before."""
        ...

    def settle_all(self, approval_ids: Sequence[str], answer: Answer, now: str) -> int:
        """Settle many approvals in one transaction. Returns how many of them waited."""
        ...

    def record_verdict(self, approval_id: str, answer: Answer) -> None:
        """Record that the policy approves while people still have to vote. Does nothing once it is settled."""
        ...

    def votes(self, approval_id: str) -> Sequence[tuple[Vote, Principal]]:
        """The votes, oldest first, each with the voter's current principal."""
        ...


# (approval, cause) -> the verdict for the approval and its digest, stored under the cause; None before the image was
# scanned. The same cause gives the same stored verdict.
Evaluate = Callable[[Approval, str], tuple[Verdict, str] | None]


def answer_waiting(table: ApprovalTable, image: str, evaluate: Evaluate, now: str) -> None:
    """Answer every approval that waits on this image, if it can be evaluated.

    Approvals with the same policy, repository and service are evaluated once and settled together.
    """
    groups: dict[tuple[str, str, str], list[Approval]] = {}
    for approval in table.waiting(image):
        if approval.approvers is not None:
            _answer_after_votes(table, approval, approval.approvers, evaluate, now)
            continue
        groups.setdefault((approval.policy, approval.repository, approval.service), []).append(approval)
    for approvals in groups.values():
        evaluation = evaluate(approvals[0], approvals[0].id)
        if evaluation is not None:
            table.settle_all([approval.id for approval in approvals], answer_from_verdict(*evaluation), now)


def _answer_after_votes(
    table: ApprovalTable, approval: Approval, approvers: Approvers, evaluate: Evaluate, now: str
) -> None:
    """Settle the approval when the policy rejects, or when it approves and enough people have voted yes.

    Votes take time, so the image is evaluated again after the last one.
    """
    if not approval.verdict:
        evaluation = evaluate(approval, approval.id)
        if evaluation is None:
            return
        answer = answer_from_verdict(*evaluation)
        if answer.state is not ApprovalState.APPROVED:
            table.settle(approval.id, answer, now)
            return
        table.record_verdict(approval.id, replace(answer, summary=shorten(f"waiting for approvers; {answer.summary}")))
    voters = [
        vote.who
        for vote, principal in table.votes(approval.id)
        if vote.yes and vote_objection(approvers, principal, approval.committers) is None
    ]
    if len(voters) < approvers.count:
        return
    evaluation = evaluate(approval, f"{approval.id}/people")
    if evaluation is not None:
        answer = answer_from_verdict(*evaluation)
        if answer.state is ApprovalState.APPROVED:
            names = ", ".join(voters)
            answer = replace(answer, summary=shorten(f"{answer.summary}; approved by {names}"), decided_by=names)
        table.settle(approval.id, answer, now)


def answer_from_verdict(verdict: Verdict, digest: str) -> Answer:
    """The answer that a verdict gives: Undetermined blocks like a rejection, and the summary says why."""
    state = ApprovalState.APPROVED if verdict.status is Status.APPROVED else ApprovalState.REJECTED
    return Answer(state, shorten(verdict.summary), digest)


def vote_objection(approvers: Approvers, principal: Principal, committers: Sequence[str]) -> str | None:
    """Why this principal's vote does not count, None if it does.

    `committers` are the names and e-mail addresses of the contributors. A principal without an e-mail address could be
    one of them, and is refused.
    """
    if not principal.may(Permission.DECIDE):
        return f"{principal.name} does not have the permission to decide"
    is_named = principal.name in approvers.principals or any(role in approvers.roles for role in principal.roles)
    if (approvers.principals or approvers.roles) and not is_named:
        names = ", ".join([*approvers.principals, *approvers.roles])
        return f"{principal.name} is not one of the approvers: {names}"
    if approvers.exclude_committer:
        if not principal.email:
            return f"{principal.name} {HAS_NO_EMAIL}"
        if is_contributor(principal, committers):
            return f"{principal.name} {IS_CONTRIBUTOR}"
    return None
