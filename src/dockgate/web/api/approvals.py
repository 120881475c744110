"""Approvals: who waits for what, since when, and how it was settled."""

from dataclasses import dataclass, replace

from fastapi import APIRouter

from dockgate.delivery.approval_request import is_external, pipeline_of
from dockgate.delivery.model import Approval, ApprovalState, Approvers, Vote
from dockgate.gate.model import Waiver
from dockgate.identity.model import Caller, Permission
from dockgate.shared.errors import DeniedError, UsageError
from dockgate.web.api import Accepter, Decider, GuardedRoute, Reader, TheServer, narrow

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval without its token."""

    id: str
    image: str
    repository: str
    policy: str
    custom_data: str
    created_at: str
    expires_at: str
    state: ApprovalState
    summary: str
    verdict: str
    decided_by: str
    settled_at: str
    reference: str
    pipeline: str
    service: str
    asked_by: str
    approvers: Approvers | None
    committers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """`who` is a name for the record while the server has no principals; later it is the principal's."""

    token: str
    reason: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class CastVote:
    """`yes` is False for a no, which needs a reason."""

    yes: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """`until` is a date or a time."""

    reason: str
    until: str


@dataclass(frozen=True, slots=True)
class Overridden:
    """The approval, which stays as it was answered, and the waivers that were made. `again` is the execution that is
    tried again, "" where somebody elsewhere has to ask again."""

    approval: ApprovalView
    waivers: list[Waiver]
    again: str


@dataclass(frozen=True, slots=True)
class ApprovalWithVotes:
    """An approval without its token, and what people said of it."""

    approval: ApprovalView
    votes: list[Vote]


def view(approval: Approval) -> ApprovalView:
    return ApprovalView(**{name: getattr(approval, name) for name in ApprovalView.__dataclass_fields__})


@router.get("/approvals")
def approvals(
    who: Reader, server: TheServer, state: ApprovalState | None = None, limit: int = 100
) -> list[ApprovalView]:
    """Newest first."""
    return [view(approval) for approval in server.store.approvals.list(state, max(1, min(limit, 1000)))]


@router.post("/approvals/{approval_id:path}/reject")
@narrow
def reject(approval_id: str, body: Reject, who: Decider, server: TheServer) -> ApprovalView:
    """A person's no. There is no person's yes: only a verdict approves."""
    _demand(who, approval_id, server)
    name = who.name if who.token else body.who or who.name
    return view(server.engine.decisions.reject(approval_id, body.token, body.reason, name))


@router.get("/approvals/{approval_id:path}/votes")
@narrow
def votes(approval_id: str, who: Reader, server: TheServer) -> list[Vote]:
    """What people said of it, in their order."""
    _demand(who, approval_id, server)
    return [vote for vote, _ in server.store.approvals.votes(approval_id)]


@router.get("/approvals/{approval_id:path}")
@narrow
def show(approval_id: str, who: Reader, server: TheServer) -> Approval:
    """One approval, with its token for those who may decide."""
    approval = _demand(who, approval_id, server)
    return approval if who.may(Permission.DECIDE) else replace(approval, token="")


@router.post("/approvals/{approval_id:path}/vote")
@narrow
def vote(approval_id: str, body: CastVote, who: Decider, server: TheServer) -> ApprovalWithVotes:
    """A person's yes or no to an approval that needs people. The first word of each stands; one no rejects."""
    if who.token is None:
        raise DeniedError(
            "whoever approves has a name, and this server has no principals", "dockgate principal add NAME --role admin"
        )
    if not body.yes and not body.reason.strip():
        raise UsageError("a no without a reason", "Say why: whoever wrote it has to mend it.")
    _demand(who, approval_id, server)
    approval = server.engine.decisions.vote(approval_id, who.principal, body.yes, body.reason)
    return ApprovalWithVotes(view(approval), [vote for vote, _ in server.store.approvals.votes(approval_id)])


@router.post("/approvals/{approval_id:path}/override")
@narrow
def override(approval_id: str, body: Override, who: Accepter, server: TheServer) -> Overridden:
    """Accepts what a verdict rejected, until a date: its findings become waivers, and the execution is tried again."""
    approval = _demand(who, approval_id, server)
    if who.limited:  # the name of a pipeline elsewhere is the asker's own word: it reaches no other repository
        who.require(repository=approval.repository)
    records = server.engine.decisions.override(approval_id, who.principal, body.reason, body.until)
    again = "" if is_external(approval_id) else approval_id.partition("/")[0]
    return Overridden(view(approval), [record.waiver for record in records], again)


def _demand(who: Caller, approval_id: str, server: TheServer) -> Approval:
    """The approval, if the token is for its pipeline or its repository."""
    approval = server.store.approvals.get(approval_id)
    who.require(pipeline=pipeline_of(approval), repository=approval.repository)
    return approval
