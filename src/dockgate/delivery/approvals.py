"""Decide how an approval ends, and whose vote counts.

`services.approvals.settlement` has the loop that calls this.
"""

from collections.abc import Iterable, Sequence

from dockgate.delivery.contributors import (
    HAS_NO_EMAIL,
    IS_CONTRIBUTOR,
    find_same_person,
    is_contributor,
    select_people,
)
from dockgate.delivery.model import Answer, Approval, ApprovalState, Approvers, Vote
from dockgate.gate.model import Status, Verdict
from dockgate.gate.summaries import SUMMARY_LIMIT, name_policy
from dockgate.identity.model import LOCAL, Caller, Permission, Principal
from dockgate.shared.wording import shorten_text

# A vote, and the person who cast it, with the projects of their roles as of now.
VoteOfPerson = tuple[Vote, Caller]


def find_expiry(approval: Approval, now: str) -> Answer | None:
    """Return the answer to a waiting approval whose time is over, None before."""
    is_over = approval.expires_at <= now
    return Answer(ApprovalState.EXPIRED, "no answer in time", decided_by="timeout") if is_over else None


def make_answer(approval: Approval, verdict: tuple[Verdict, str], votes: Iterable[VoteOfPerson] = ()) -> Answer:
    """Return the answer to a waiting approval; its state is WAITING as long as too few people approve.

    `verdict` is the verdict on its image with its digest. An Undetermined verdict rejects, and its summary says why.
    That of a rejection names the policy: others may approve the image.
    """
    status, summary, digest = verdict[0].status, shorten_text(verdict[0].summary, SUMMARY_LIMIT), verdict[1]
    if status is not Status.APPROVED:
        reason = shorten_text(name_policy(verdict[0].policy, summary), SUMMARY_LIMIT)
        return Answer(ApprovalState.REJECTED, reason, digest)
    if approval.approvers is None:
        return Answer(ApprovalState.APPROVED, summary, digest)
    supporters = _list_supporters(approval, approval.approvers, votes)
    if len(supporters) < approval.approvers.count:
        return Answer(ApprovalState.WAITING, shorten_text(f"waiting for approvers; {summary}", SUMMARY_LIMIT), digest)
    names = ", ".join(supporters)
    return Answer(ApprovalState.APPROVED, shorten_text(f"{summary}; approved by {names}", SUMMARY_LIMIT), digest, names)


def has_enough_votes(approval: Approval, votes: Iterable[VoteOfPerson]) -> bool:
    """Return whether enough people approve, so that the verdict alone decides."""
    approvers = approval.approvers
    return approvers is None or len(_list_supporters(approval, approvers, votes)) >= approvers.count


def _list_supporters(approval: Approval, approvers: Approvers, votes: Iterable[VoteOfPerson]) -> Sequence[str]:
    """The people whose vote is yes and counts. Principals with one mailbox are one person."""
    supporters = (
        voter.principal
        for vote, voter in votes
        if vote.is_yes and find_vote_objection(approvers, voter, approval.committers, approval.repository) is None
    )
    return [person.name for person in select_people(supporters)]


def make_rejection(by: str, reason: str) -> Answer:
    """Return the answer of a person who rejects."""
    return Answer(ApprovalState.REJECTED, shorten_text(f"rejected by {by}: {reason}", SUMMARY_LIMIT), decided_by=by)


def find_vote_objection(approvers: Approvers, voter: Caller, committers: Sequence[str], repository: str) -> str | None:
    """Return why this person's vote, yes or no, does not count. None if it does.

    `repository` is that of the image, `committers` are the names and e-mail addresses of its contributors. A principal
    without an e-mail address could be one of them, and is refused.
    """
    if not voter.has_grant(Permission.DECIDE, repository):
        return f"{voter.name} does not have the permission to decide"
    is_named = voter.name in approvers.principals or any(voter.has_grant(role, repository) for role in approvers.roles)
    if (approvers.principals or approvers.roles) and not is_named:
        names = ", ".join([*approvers.principals, *approvers.roles])
        return f"{voter.name} is not one of the approvers: {names}"
    return find_contributor_objection(voter.principal, committers) if approvers.exclude_committer else None


def find_decision_objection(
    approvers: Approvers, caller: Caller, committers: Sequence[str], repository: str, voters: Iterable[Principal]
) -> str | None:
    """Return why the caller may not decide on a waiting approval that needs people, None if they may.

    `voters` have voted. While the server has no principals, no approvers exist, and a local caller may reject.
    """
    if caller.principal is LOCAL:
        return None
    return find_earlier_vote(caller.principal, voters) or find_vote_objection(approvers, caller, committers, repository)


def find_earlier_vote(principal: Principal, voters: Iterable[Principal]) -> str | None:
    """Return why the principal's vote would be the second one of a person, None if it is not."""
    voter = find_same_person(principal, voters)
    if voter is None:
        return None
    if voter.name == principal.name:
        return f"{principal.name} has voted"
    return f"{principal.name} has the mailbox of {voter.name}, who has voted"


def find_contributor_objection(principal: Principal, committers: Sequence[str]) -> str | None:
    """Return why this principal is, or could be, a contributor to an image; None if they are not."""
    if not principal.email:
        return f"{principal.name} {HAS_NO_EMAIL}"
    return f"{principal.name} {IS_CONTRIBUTOR}" if is_contributor(principal, committers) else None
