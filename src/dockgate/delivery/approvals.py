"""Decide how an approval ends, and whose vote counts.

`services.approvals.settlement` has the loop that calls this.
"""

from collections.abc import Sequence

from dockgate.delivery.contributors import HAS_NO_EMAIL, IS_CONTRIBUTOR, is_contributor
from dockgate.delivery.model import Answer, Approval, ApprovalState, Approvers
from dockgate.gate.model import Status, Verdict
from dockgate.gate.summaries import SUMMARY_LIMIT, name_policy
from dockgate.identity.model import PERMISSIONS, Permission, Principal
from dockgate.shared.wording import shorten_text


def make_answer(
    approval: Approval, verdict: tuple[Verdict, str] | None, now: str, supporters: Sequence[str] = ()
) -> Answer:
    """Return the answer to a waiting approval; its state is WAITING as long as nothing settles it.

    `verdict` is the verdict on its image with its digest, None while there is none. `supporters` are the people whose
    vote is yes and counts (`find_vote_objection`). An Undetermined verdict rejects, and its summary says why. That of a
    rejection names the policy: others may approve the image.
    """
    if verdict is None:
        if approval.expires_at <= now:
            return Answer(ApprovalState.EXPIRED, "no answer in time", decided_by="timeout")
        return Answer(ApprovalState.WAITING, "")
    status, summary, digest = verdict[0].status, shorten_text(verdict[0].summary, SUMMARY_LIMIT), verdict[1]
    if status is not Status.APPROVED:
        reason = shorten_text(name_policy(verdict[0].policy, summary), SUMMARY_LIMIT)
        return Answer(ApprovalState.REJECTED, reason, digest)
    if approval.approvers is None:
        return Answer(ApprovalState.APPROVED, summary, digest)
    if len(supporters) < approval.approvers.count:
        return Answer(ApprovalState.WAITING, shorten_text(f"waiting for approvers; {summary}", SUMMARY_LIMIT), digest)
    names = ", ".join(supporters)
    return Answer(ApprovalState.APPROVED, shorten_text(f"{summary}; approved by {names}", SUMMARY_LIMIT), digest, names)


def make_rejection(by: str, reason: str) -> Answer:
    """Return the answer of a person who rejects."""
    return Answer(ApprovalState.REJECTED, shorten_text(f"rejected by {by}: {reason}", SUMMARY_LIMIT), decided_by=by)


def find_vote_objection(
    approvers: Approvers, principal: Principal, committers: Sequence[str], repository: str
) -> str | None:
    """Return why this principal's vote on an image of the repository does not count, None if it does.

    `committers` are the names and e-mail addresses of the contributors. A principal without an e-mail address could be
    one of them, and is refused.
    """
    roles = principal.list_roles(repository)
    if principal.disabled_at or not any(Permission.DECIDE in PERMISSIONS[role] for role in roles):
        return f"{principal.name} does not have the permission to decide"
    is_named = principal.name in approvers.principals or any(role in approvers.roles for role in roles)
    if (approvers.principals or approvers.roles) and not is_named:
        names = ", ".join([*approvers.principals, *approvers.roles])
        return f"{principal.name} is not one of the approvers: {names}"
    return find_contributor_objection(principal, committers) if approvers.exclude_committer else None


def find_contributor_objection(principal: Principal, committers: Sequence[str]) -> str | None:
    """Return why this principal is, or could be, a contributor to an image; None if they are not."""
    if not principal.email:
        return f"{principal.name} {HAS_NO_EMAIL}"
    return f"{principal.name} {IS_CONTRIBUTOR}" if is_contributor(principal, committers) else None
