"""The approval of an external pipeline, and what people decide on any approval."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request
from fastapi.responses import Response

from dockgate.delivery.model import ApprovalId, ApprovalState
from dockgate.identity.model import Caller
from dockgate.services.web_services import ApprovalServices
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.api import approvals as approval_calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.pages.decisions import ApprovalForm, Refusal, choose_status, read_decision
from dockgate.web.console.pages.executions import render_execution
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router, redirect_to
from dockgate.web.page_paths import make_approval_path

router = make_page_router()


@router.get("/approvals/{approval_id:path}")
@api.mark_self_checking
def show_approval(
    approval_id: ApprovalId,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    approvals: api.ApprovalDependency,
) -> Response:
    """Show the approval of an external pipeline. Ours are decided on their execution's page."""
    return _render_approval(approval_id, request, caller, store, approvals)


def _render_approval(
    approval_id: ApprovalId,
    request: Request,
    caller: Caller,
    store: Store,
    approvals: ApprovalServices,
    refusal: Refusal | None = None,
) -> Response:
    approval = approval_calls.require_approval(caller, approval_id, store)
    if not approval_id.is_external:
        return redirect_to(make_approval_path(approval_id))
    decision = read_decision(store, approvals.decisions, approval_calls.make_approval_view(approval), caller)
    return render_page(
        request,
        caller,
        "approval.html",
        choose_status(refusal),
        title=f"Error: {approval_id}" if refusal else approval_id,
        decision=decision,
        refusal=refusal,
    )


@dataclass(frozen=True, slots=True)
class _DecisionForm:
    """A form by which a person decides on an approval, and what shows its page again once it is refused."""

    request: Request
    fields: Form
    addresses: api.AddressesDependency
    store: api.StoreDependency
    upkeep: api.UpkeepDependency
    approvals: api.ApprovalDependency

    def run(
        self, approval_id: ApprovalId, form: ApprovalForm, caller: Caller, decide: Callable[[], object], outcome: str
    ) -> Response:
        """Decide, and go back to the page of the approval, which tells the outcome.

        Refused, the page shows the form again, and why.
        """
        try:
            decide()
        except (UsageError, ConflictError) as error:
            return self._render_refusal(Refusal(approval_id, form, self.fields, error), caller)
        return redirect_with_flash(self.request, make_approval_path(approval_id), outcome)

    def _render_refusal(self, refusal: Refusal, caller: Caller) -> Response:
        """The page of the approval with the form as it was filled in, and why it was refused."""
        page = make_approval_path(refusal.approval).partition("#")[0]
        # Links of the page lead to itself, not to where its form was sent.
        scope = {**self.request.scope, "path": unquote(page), "query_string": b""}
        page_request = Request(scope, self.request.receive)
        key = refusal.approval.action
        if key is None:
            return _render_approval(refusal.approval, page_request, caller, self.store, self.approvals, refusal)
        return render_execution(
            key.execution, page_request, caller, self.addresses, self.store, self.upkeep, self.approvals, refusal
        )


_DecisionFormDependency = Annotated[_DecisionForm, Depends()]


@router.post("/approvals/{approval_id:path}/vote")
@api.mark_self_checking
def cast_vote(
    approval_id: ApprovalId,
    caller: api.DecideCaller,
    approvals: api.ApprovalDependency,
    form: _DecisionFormDependency,
) -> Response:
    """Approve or reject as a person."""

    def decide() -> object:
        body = approval_calls.CastVote(_is_yes(form.fields.get("vote", "")), form.fields.get("reason", ""))
        return approval_calls.cast_vote(approval_id, body, caller, form.store, approvals)

    return form.run(approval_id, "vote", caller, decide, "Your vote was recorded.")


def _is_yes(vote: str) -> bool:
    """Return whether the pressed button approves. UsageError for a form that was sent by neither of its buttons."""
    if vote not in ("yes", "no"):
        raise UsageError("the form says neither yes nor no", "Press Approve or Reject.")
    return vote == "yes"


@router.post("/approvals/{approval_id:path}/reject")
@api.mark_self_checking
def reject_approval(
    approval_id: ApprovalId,
    caller: api.DecideCaller,
    approvals: api.ApprovalDependency,
    form: _DecisionFormDependency,
) -> Response:
    """Reject what waits for a verdict."""
    waiting = approval_calls.require_approval(caller, approval_id, form.store)  # refuses limited tokens
    if waiting.state is not ApprovalState.WAITING:
        raise NotFoundError("this approval no longer waits", "Reload the page: it shows the decision.")
    body = approval_calls.Rejection(waiting.token, form.fields.get("reason", ""), caller.name)
    decide = partial(approval_calls.reject_approval, approval_id, body, caller, form.store, approvals)
    return form.run(approval_id, "reject", caller, decide, "It was rejected.")


@router.post("/approvals/{approval_id:path}/override")
@api.mark_self_checking
def override_rejection(
    approval_id: ApprovalId,
    caller: api.AcceptCaller,
    approvals: api.ApprovalDependency,
    form: _DecisionFormDependency,
) -> Response:
    """Accept the findings of a rejected image until a date, and retry."""
    body = approval_calls.OverrideRequest(form.fields.get("reason", ""), form.fields.get("until", ""))
    decide = partial(approval_calls.override_rejection, approval_id, body, caller, form.store, approvals)
    outcome = f"The findings that block are accepted until {body.until}."
    return form.run(approval_id, "override", caller, decide, outcome)
