"""The approval of a page, what a person can decide, and why a form of it was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dockgate.delivery.approval_request import make_image_scope
from dockgate.delivery.model import POLICY_DECISION, ApprovalId, ApprovalState, Vote
from dockgate.gate.model import Status
from dockgate.identity.model import Caller, Permission, list_roles
from dockgate.services.approvals.decisions import NO_VOTER, ApprovalDecisions, VoterCheck
from dockgate.shared.errors import ConflictError, UsageError
from dockgate.store import Store
from dockgate.store.records import VerdictRecord
from dockgate.web.api.approvals import ApprovalView


@dataclass(frozen=True, slots=True)
class Decision:
    """An approval with its votes and its verdict, None before there is one.

    `objection` is why the person at the page may not vote or, once it is rejected, not override it; None if they may.
    `contributors_unknown` is why no one may vote, None if that is not the reason.
    """

    approval: ApprovalView
    votes: Sequence[Vote]
    verdict: VerdictRecord | None
    objection: str | None
    contributors_unknown: str | None = None

    @property
    def shown_state(self) -> ApprovalState | Status:
        """The state of the approval. Undetermined if its policy rejected it for an Undetermined verdict."""
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
    def deciders_sentence(self) -> str:
        """Who may still vote; why no one may if the contributors are unknown."""
        if reason := self.contributors_unknown:
            has_reason = self.objection is not None and reason in self.objection
            return NO_VOTER if has_reason else f"{NO_VOTER.removesuffix('.')}: {reason}"
        return f"{self.deciders} decides" if self.deciders else "No other approver can vote."

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


def read_decision(store: Store, decisions: ApprovalDecisions, approval: ApprovalView, caller: Caller) -> Decision:
    """Return what the page shows of an approval to this caller."""
    votes = store.approvals.list_votes(approval.id)
    records = store.verdicts.list_of_image(approval.image) if approval.verdict else ()
    verdict = next((record for record in records if record.digest == approval.verdict), None)
    check = VoterCheck(None, None)
    if approval.state is ApprovalState.WAITING and (can_decide(caller, approval) or approval.contributors_unknown):
        voters = [voter for _, voter in votes]
        check = decisions.check_voter(store.approvals.get(approval.id), caller, voters, is_for_page=True)
    elif verdict is not None and can_override(caller, approval, verdict):
        rejected_approval = store.approvals.get(approval.id)
        objection = decisions.find_override_objection(rejected_approval, caller.principal, is_for_page=True)
        check = VoterCheck(objection, None)
    return Decision(approval, [vote for vote, _ in votes], verdict, check.objection, check.contributors_unknown)


def can_decide(caller: Caller, approval: ApprovalView) -> bool:
    """Return whether the caller has the permission to decide; other rules may be against it."""
    return caller.can(Permission.DECIDE, **make_image_scope(approval.repository, approval.id, approval.pipeline))


def can_override(caller: Caller, approval: ApprovalView, verdict: VerdictRecord) -> bool:
    """Return whether the caller has the permission to accept the rejected findings of an approval.

    Other rules may be against it. The waivers are the repository's: a token for its pipeline is not enough.
    """
    is_rejected = approval.state is ApprovalState.REJECTED and verdict.status == Status.REJECTED
    return is_rejected and caller.can(Permission.ACCEPT, repository=approval.repository)


def choose_status(refusal: Refusal | None) -> int:
    """The status of a page that shows a refused form, or that of one without."""
    if refusal is None:
        return 200
    return 409 if isinstance(refusal.error, ConflictError) else 422
