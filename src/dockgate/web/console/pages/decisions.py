"""The approval of a page, what a person can decide, and why a form of it was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dockgate.delivery.approvals import find_contributor_objection, find_decision_objection
from dockgate.delivery.model import POLICY_DECISION, ApprovalId, ApprovalState, Vote
from dockgate.gate.model import Status
from dockgate.identity.model import Caller, Permission, Principal
from dockgate.shared.errors import ConflictError, UsageError
from dockgate.store import Store
from dockgate.store.records import VerdictRecord
from dockgate.web.api.approvals import ApprovalView
from dockgate.web.console.formats import list_roles


@dataclass(frozen=True, slots=True)
class Decision:
    """An approval with its votes and its verdict, None before there is one.

    `objection` is why the person at the page may not vote or, once it is rejected, not override it; None if they may,
    as far as known here.
    """

    approval: ApprovalView
    votes: Sequence[Vote]
    verdict: VerdictRecord | None
    objection: str | None

    @property
    def shown_state(self) -> ApprovalState | Status:
        """The state of the approval; Undetermined if its policy rejected it because its verdict is."""
        is_undetermined = self.verdict is not None and self.verdict.status == Status.UNDETERMINED
        is_by_policy = self.is_rejected and self.approval.decided_by == POLICY_DECISION
        return Status.UNDETERMINED if is_undetermined and is_by_policy else self.approval.state

    @property
    def deciders(self) -> str | None:
        """Who may still vote, before "decides". None if no one may: all have voted, or contributed."""
        approvers = self.approval.approvers
        if approvers is None or not (approvers.principals or approvers.roles):
            return f"a person with the role {list_roles(Permission.DECIDE)}"
        excluded_names = {vote.who for vote in self.votes}
        if approvers.exclude_committer:
            excluded_names |= set(self.approval.committers)
        names = [name for name in approvers.principals if name not in excluded_names]
        *further, last = [*names, *(f"a person with the role {role}" for role in approvers.roles)] or [""]
        return f"{', '.join(further)} or {last}" if further else last or None

    @property
    def is_rejected(self) -> bool:
        """Return whether it was rejected, by its verdict or a person."""
        return self.approval.state is ApprovalState.REJECTED


# The forms by which people decide on an approval.
ApprovalForm = Literal["vote", "reject", "override"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A form of an approval that was refused: which one, what was filled in, and why."""

    approval: ApprovalId
    form: ApprovalForm
    fields: Mapping[str, str]
    error: UsageError | ConflictError


def read_decision(store: Store, approval: ApprovalView, caller: Caller) -> Decision:
    """Return what the page shows of an approval to this caller."""
    votes = store.approvals.list_votes(approval.id)
    records = store.verdicts.list_of_image(approval.image) if approval.verdict else ()
    verdict = next((record for record in records if record.digest == approval.verdict), None)
    objection = _find_objection(approval, [voter for _, voter in votes], caller)
    return Decision(approval, [vote for vote, _ in votes], verdict, objection)


def _find_objection(approval: ApprovalView, voters: Sequence[Principal], caller: Caller) -> str | None:
    """Return why this person may not vote, or not override a rejection. None if they may, as far as known here."""
    approvers = approval.approvers
    if approvers and approval.state is ApprovalState.WAITING:
        return find_decision_objection(approvers, caller, approval.committers, approval.repository, voters)
    if caller.token is None or approval.id.is_external or (approvers and not approvers.exclude_committer):
        return None
    return find_contributor_objection(caller.principal, approval.committers)


def choose_status(refusal: Refusal | None) -> int:
    """The status of a page that shows a refused form, or that of one without."""
    if refusal is None:
        return 200
    return 409 if isinstance(refusal.error, ConflictError) else 422
