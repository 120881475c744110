"""Approvals: who waits for what, since when, and how it was settled."""

from dataclasses import dataclass, replace

from fastapi import APIRouter

from dockgate.core.approvals import Approval, ApprovalState
from dockgate.core.asking import pipeline_of
from dockgate.core.people import Permission
from dockgate.web.api import Decider, Reader, TheServer, narrow

router = APIRouter()


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


@dataclass(frozen=True, slots=True)
class Reject:
    """`who` is a name for the record while the server has no principals; later it is the principal's."""

    token: str
    reason: str
    who: str = ""


def view(approval: Approval) -> ApprovalView:
    return ApprovalView(**{name: getattr(approval, name) for name in ApprovalView.__dataclass_fields__})


@router.get("/approvals")
def approvals(
    who: Reader, server: TheServer, state: ApprovalState | None = None, limit: int = 100
) -> list[ApprovalView]:
    """Newest first."""
    return [view(approval) for approval in server.store.approvals.list(state, max(1, min(limit, 1000)))]


@router.get("/approvals/{approval_id:path}")
@narrow
def show(approval_id: str, who: Reader, server: TheServer) -> Approval:
    """One approval, with its token for those who may decide."""
    approval = server.store.approvals.get(approval_id)
    who.demand(pipeline=pipeline_of(approval), repository=approval.repository)
    return approval if who.may(Permission.DECIDE) else replace(approval, token="")


@router.post("/approvals/{approval_id:path}/reject")
@narrow
def reject(approval_id: str, body: Reject, who: Decider, server: TheServer) -> ApprovalView:
    """A person's no. There is no person's yes: only a verdict approves."""
    approval = server.store.approvals.get(approval_id)
    who.demand(pipeline=pipeline_of(approval), repository=approval.repository)
    name = who.name if who.token else body.who or who.name
    return view(server.engine.reject(approval_id, body.token, body.reason, name))
