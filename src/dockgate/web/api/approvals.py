"""Approvals: list, show, vote, reject and override."""

from dataclasses import dataclass

from dockgate.delivery.approval_request import make_scope
from dockgate.delivery.model import Approval, ApprovalId, ApprovalState, Approvers, Vote
from dockgate.gate.model import Waiver
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Caller, Permission
from dockgate.services.approvals.caller_decisions import CallerDecision, find_caller_decision
from dockgate.shared.cursors import read_cursor, write_cursor
from dockgate.store import Store
from dockgate.store.delivery.approvals import make_unknown_approval_error
from dockgate.web.api import (
    AcceptCaller,
    ApprovalDependency,
    DecideCaller,
    ReadCaller,
    StoreDependency,
    make_router,
    make_view_maker,
    mark_self_checking,
)
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency

# Approvals that one call of a list reads to find those that the caller may see, and that are read together.
MAX_READ, BATCH = 5000, 500
# The order of the list, in cursors.
NEWEST_FIRST = "-requested"

router = make_router()


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval without its token."""

    id: ApprovalId
    image: str
    repository: str
    policy: PolicyReference
    custom_data: str
    created_at: str
    expires_at: str
    state: ApprovalState
    summary: str | None
    verdict: str | None
    decided_by: str | None
    settled_at: str | None
    reference: str | None
    pipeline: str | None
    service: str | None
    requested_by: str | None
    approvers: Approvers | None
    committers: tuple[str, ...]
    contributors_unknown: str | None


@dataclass(frozen=True, slots=True)
class ApprovalWithToken(ApprovalView):
    """An approval.

    `token` is null for a caller without the permission decide. `caller_decision` is what the caller may do about the
    approval, null once it is settled.
    """

    token: str | None
    caller_decision: CallerDecision | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """`who` is a name for the record; it is ignored when the server has principals."""

    token: str
    reason: str
    who: str | None = None


@dataclass(frozen=True, slots=True)
class CastVote:
    """`yes` is False for a rejection, which needs a reason."""

    is_yes: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """`until` is a date or a time (RFC 3339)."""

    reason: str
    until: str


@dataclass(frozen=True, slots=True)
class OverrideResult:
    """The unchanged approval, the new waivers, and the retried execution (null for an external pipeline)."""

    approval: ApprovalView
    waivers: list[Waiver]
    retried_execution: str | None


@dataclass(frozen=True, slots=True)
class ApprovalWithVotes:
    """An approval without its token, and its votes."""

    approval: ApprovalView
    votes: list[Vote]


_make_view = make_view_maker(ApprovalView, Approval)
_make_view_with_token = make_view_maker(ApprovalWithToken, Approval, "token", "caller_decision")


def make_approval_view(approval: Approval) -> ApprovalView:
    """The approval as the API shows it."""
    return _make_view(approval)


@router.get("/approvals")
@mark_self_checking
def list_approvals(
    caller: ReadCaller, store: StoreDependency, paging: PagingDependency, state: ApprovalState | None = None
) -> list[ApprovalView]:
    """List the approvals that the caller may see, newest first, a page at a time, in one state if given.

    A page can have fewer entries than `limit`, even none, and still name a next one: a call reads at most 5000
    approvals.
    """
    return paging.list_entries(read_approval_page(caller, store, paging.make_query(NEWEST_FIRST), state))


def read_approval_page(
    caller: Caller, store: Store, query: PageQuery, state: ApprovalState | None = None
) -> Page[ApprovalView]:
    """A page of the approvals that the caller may see.

    It names a next page if there is one more that the caller may see, or if MAX_READ were read and others were not.
    """
    after: int | None = read_cursor(query.after, query.sort, (int,))[0] if query.after else None
    size = max(query.limit + 1, BATCH) if caller.is_limited else query.limit + 1
    visible: list[ApprovalView] = []
    for _ in range(0, MAX_READ, size):
        rows = store.approvals.list_page(state, size, after)
        for position, approval in rows:
            if caller.can_reach(**make_scope(approval)):
                if len(visible) == query.limit:
                    return Page(visible, write_cursor(query.sort, (after or 0,)))
                visible.append(make_approval_view(approval))
            after = position
        if len(rows) < size:
            return Page(visible, None)
    return Page(visible, write_cursor(query.sort, (after or 0,)))


@router.post("/approvals/{approval_id:path}/reject")
@mark_self_checking
def reject_approval(
    approval_id: ApprovalId,
    body: Rejection,
    caller: DecideCaller,
    store: StoreDependency,
    approvals: ApprovalDependency,
) -> ApprovalView:
    """Reject a waiting approval. If it needs people, this is a vote: the caller must be one of them."""
    require_approval(caller, approval_id, store)
    name = caller.name if caller.token else body.who or caller.name
    approval = approvals.decisions.reject(approval_id, body.token, body.reason, caller, name)
    note_change(f"rejected: {body.reason}")
    return make_approval_view(approval)


@router.get("/approvals/{approval_id:path}/votes")
@mark_self_checking
def list_votes(approval_id: ApprovalId, caller: ReadCaller, store: StoreDependency) -> list[Vote]:
    """List the votes of an approval, oldest first."""
    require_approval(caller, approval_id, store)
    return [vote for vote, _ in store.approvals.list_votes(approval_id)]


@router.get("/approvals/{approval_id:path}")
@mark_self_checking
def get_approval(
    approval_id: ApprovalId, caller: ReadCaller, store: StoreDependency, approvals: ApprovalDependency
) -> ApprovalWithToken:
    """Get an approval, and whether the caller may decide it.

    Its token is included for callers with the permission decide.
    """
    approval = require_approval(caller, approval_id, store)
    can_decide = caller.can(Permission.DECIDE, **make_scope(approval))
    decision = find_caller_decision(store, approvals.decisions, approval, caller)
    return _make_view_with_token(approval, token=approval.token if can_decide else None, caller_decision=decision)


@router.post("/approvals/{approval_id:path}/vote")
@mark_self_checking
def cast_vote(
    approval_id: ApprovalId, body: CastVote, caller: DecideCaller, store: StoreDependency, approvals: ApprovalDependency
) -> ApprovalWithVotes:
    """Vote on an approval that needs people. Only the first vote of each counts; one rejection rejects."""
    require_approval(caller, approval_id, store)
    approval = approvals.decisions.vote(approval_id, caller, body.is_yes, body.reason)
    note_change(f"{'yes' if body.is_yes else 'no'}{': ' if body.reason else ''}{body.reason}")
    return ApprovalWithVotes(
        make_approval_view(approval), [vote for vote, _ in store.approvals.list_votes(approval_id)]
    )


@router.post("/approvals/{approval_id:path}/override")
@mark_self_checking
def override_rejection(
    approval_id: ApprovalId,
    body: OverrideRequest,
    caller: AcceptCaller,
    store: StoreDependency,
    approvals: ApprovalDependency,
) -> OverrideResult:
    """Accept the findings of a rejected image until a date.

    They become waivers, and the execution is retried.
    """
    approval = require_approval(caller, approval_id, store)
    if caller.is_limited:  # the waivers are the repository's
        caller.require(repository=approval.repository)
    records = approvals.decisions.override(approval_id, caller.principal, body.reason, body.until)
    note_change(f"{len(records)} waivers until {body.until}: {body.reason}")
    retried_execution = approval.action.execution if approval.action else None
    return OverrideResult(make_approval_view(approval), [record.waiver for record in records], retried_execution)


def require_reach(caller: Caller, approval: Approval) -> None:
    """Refuse a caller whose limits do not reach an approval.

    Raises NotFoundError, as for an unknown one, unless the caller may see it: then DeniedError.
    """
    scope = make_scope(approval)
    if not caller.can_reach(**scope) and not caller.can(Permission.READ, **scope):
        raise make_unknown_approval_error(approval.id)
    caller.require(**scope)


def require_approval(caller: Caller, approval_id: ApprovalId, store: Store) -> Approval:
    """The approval, if the caller may see it and its limits reach it. NotFoundError, DeniedError."""
    approval = store.approvals.get(approval_id)
    require_reach(caller, approval)
    return approval
