"""What people decide about approvals: votes, rejections, and overrides of a rejecting verdict."""

import hmac
from collections.abc import Sequence

from dockgate.delivery.approvals import vote_objection
from dockgate.delivery.contributors import IS_CONTRIBUTOR, is_contributor
from dockgate.delivery.model import Answer, Approval, ApprovalState, Vote
from dockgate.delivery.override import waivers_of
from dockgate.delivery.pipeline import latest_runs
from dockgate.gate.summaries import shorten
from dockgate.identity.model import LOCAL, Principal
from dockgate.services.clock import ServerClock
from dockgate.services.contributors import ContributorFinder
from dockgate.services.effects import Effects, Step
from dockgate.services.executions import Executions
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.services.verdicts import Verdicts
from dockgate.services.waiting_approvals import WaitingApprovals
from dockgate.shared.errors import ConflictError, DeniedError, UsageError
from dockgate.store import Store
from dockgate.store.records import WaiverRecord


class ApprovalDecisions:
    """Records decisions, and continues the executions that waited for them."""

    def __init__(
        self,
        store: Store,
        verdicts: Verdicts,
        waiting: WaitingApprovals,
        exceptions: RiskAcceptances,
        executions: Executions,
        contributors: ContributorFinder,
        clock: ServerClock,
        effects: Effects,
    ) -> None:
        self._store = store
        self._verdicts = verdicts
        self._waiting = waiting
        self._exceptions = exceptions
        self._executions = executions
        self._contributors = contributors
        self._clock = clock
        self._effects = effects

    def reject(self, approval_id: str, token: str, reason: str, who: str) -> Approval:
        """Reject an approval. People cannot approve in place of a verdict."""
        approval = self._store.approvals.get(approval_id)
        if not _same(approval.token, token):
            raise DeniedError(f"that is not the token of {approval_id}", "`dockgate approval show` tells it.")
        answer = Answer(ApprovalState.REJECTED, shorten(f"rejected by {who}: {reason}"), "", who)
        if not self._effects.run(Step.ANSWER, self._store.approvals.settle, approval_id, answer, self._clock.now()):
            raise ConflictError(f"{approval_id} is settled already", "`dockgate approval show` says how.")
        self._waiting.proceed(approval_id)
        return self._store.approvals.get(approval_id)

    def vote(self, approval_id: str, principal: Principal, yes: bool, reason: str) -> Approval:
        """Record a person's vote on an approval that needs people; their first vote counts.

        The required number of yes votes and an approving verdict settle it as approved; one no rejects. DeniedError for
        a principal whose vote does not count.
        """
        approval = self._store.approvals.get(approval_id)
        if approval.approvers is None:
            raise UsageError(
                f"{approval_id} waits for a verdict alone", "Name `approvers` in the action; `reject` needs none."
            )
        objection = vote_objection(approval.approvers, principal, approval.committers)
        if approval.approvers.exclude_committer and objection is None and approval.action:
            objection = self._contributors.of(approval.action).objection(principal)
        if objection:
            raise DeniedError(objection, "Another approver has to vote.")
        vote = Vote(approval_id, principal.name, yes, reason, self._clock.now())
        first = self._effects.run(Step.VOTE, self._store.approvals.vote, vote)
        if first.yes != yes:
            word = "yes" if first.yes else "no"
            raise ConflictError(f"{principal.name} has already voted {word} on {approval_id}", "The first vote counts.")
        self._effects.run(Step.ANSWER, self._waiting.settle, approval.image)
        self._waiting.proceed(approval_id)
        return self._store.approvals.get(approval_id)

    def override(self, approval_id: str, principal: Principal, reason: str, until: str) -> Sequence[WaiverRecord]:
        """Waive what a verdict rejected until a date, and retry the execution.

        Nothing is recorded where the new verdict would not approve. The old answer stays as it was.

        DeniedError for a principal who contributed to the image, started the execution, or asked for the approval: who
        may not approve may not override.
        """
        approval = self._store.approvals.get(approval_id)
        objection = None if principal is LOCAL else self._override_objection(approval, principal)
        if objection:
            raise DeniedError(objection, "Another person has to override it.")
        if not approval.verdict:
            raise ConflictError(f"{approval_id} was not rejected by a verdict", "`dockgate approval show` says how.")
        verdict = self._store.images.verdict(approval.verdict)
        waivers = waivers_of(approval, verdict, principal.name, reason, until)
        if remaining := self._verdicts.rejection_with_waivers(approval, waivers):
            raise ConflictError(
                f"with what was rejected accepted until {until}, it would still not be approved: {remaining}",
                "Ask for a new approval first: something else has come since, or the date is over. What an expression "
                "says of findings without naming them is accepted by waivers of the findings.",
            )
        records = [self._exceptions.add_waiver(waiver) for waiver in waivers]
        if key := approval.action:
            last = latest_runs(self._store.executions.runs(key.execution))[key.stage, key.action]
            if last.key == key:
                self._executions.retry(key.execution, "")  # the waivers name who decided
        return records

    def _override_objection(self, approval: Approval, principal: Principal) -> str | None:
        """Why this principal may not override the approval's rejection, None if they may."""
        if approval.action is None:
            return f"{principal.name} asked for the approval" if approval.asked_by == principal.name else None
        if approval.approvers is not None and not approval.approvers.exclude_committer:
            return None
        if is_contributor(principal, approval.committers):
            return f"{principal.name} {IS_CONTRIBUTOR}"
        return self._contributors.of(approval.action).objection(principal)


def _same(token: str, sent: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(token.encode(errors="replace"), sent.encode(errors="replace"))
