"""What a caller may do about a waiting approval, and why not."""

from dataclasses import dataclass, replace

from dockgate.delivery.approval_request import make_scope
from dockgate.delivery.model import Approval, ApprovalState
from dockgate.identity.model import LOCAL, Caller, Permission, require_permission
from dockgate.services.approvals.decisions import NO_NAMED_USERS, ApprovalDecisions
from dockgate.shared.errors import DeniedError
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class CallerDecision:
    """What this caller may do about a waiting approval.

    `objection` is why they may not approve or reject it, null if nothing is against it. An approval without approvers
    is approved by its verdict alone. `contributors_unknown` is why no one may vote now, null if that is not the reason.
    """

    can_approve: bool
    can_reject: bool
    objection: str | None
    contributors_unknown: str | None


def find_caller_decision(
    store: Store, decisions: ApprovalDecisions, approval: Approval, caller: Caller
) -> CallerDecision | None:
    """Return what the caller may do about an approval, None if it does not wait.

    The contributors may be those of some seconds ago.
    """
    if approval.state is not ApprovalState.WAITING:
        return None
    objection, contributors_unknown = _find_permission_objection(caller, approval), None
    if objection is None and caller.principal is LOCAL:
        # Without principals there are no approvers, and every local caller may reject.
        return CallerDecision(False, True, NO_NAMED_USERS if approval.approvers else None, None)
    if approval.approvers is not None and (objection is None or approval.contributors_unknown):
        voters = [voter for _, voter in store.approvals.list_votes(approval.id)]
        check = decisions.check_voter(approval, caller, voters, is_for_page=True)
        objection, contributors_unknown = objection or check.objection, check.contributors_unknown
    may_decide = objection is None
    return CallerDecision(may_decide and approval.approvers is not None, may_decide, objection, contributors_unknown)


def _find_permission_objection(caller: Caller, approval: Approval) -> str | None:
    """Return why the caller does not have the permission to decide on an approval, None if they have it."""
    try:
        if not caller.can_somewhere(Permission.DECIDE):
            require_permission(caller, Permission.DECIDE)
        replace(caller, permission=Permission.DECIDE).require(**make_scope(approval))
    except DeniedError as error:
        return str(error)
    return None
