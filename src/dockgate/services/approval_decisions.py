"""What people decide about approvals: votes, refusals, and overriding a verdict's rejection."""

import hmac
from collections.abc import Callable, Sequence

from dockgate.delivery.approval_request import is_external
from dockgate.delivery.approvals import vote_objection
from dockgate.delivery.contributors import IS_CONTRIBUTOR, is_contributor
from dockgate.delivery.model import ActionKey, Answer, Approval, ApprovalState, Vote
from dockgate.delivery.override import waivers_of
from dockgate.delivery.pipeline import latest_runs
from dockgate.gate.summaries import shorten
from dockgate.identity.model import LOCAL, Principal
from dockgate.services.contributors import ContributorFinder
from dockgate.services.dependencies import Dependencies
from dockgate.services.effects import Effects, Step
from dockgate.services.exceptions import Exceptions
from dockgate.services.verdicts import Verdicts
from dockgate.shared.errors import ConflictError, DeniedError, UsageError
from dockgate.store.records import WaiverRecord


class ApprovalDecisions:
    """`retry` has an execution tried again for a principal; `proceed` goes on with the execution of an approval."""

    def __init__(
        self,
        parts: Dependencies,
        effects: Effects,
        verdicts: Verdicts,
        exceptions: Exceptions,
        retry: Callable[[str, str], None],
        proceed: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._store = parts.store
        self._effects = effects
        self._verdicts = verdicts
        self._exceptions = exceptions
        self._contributors = ContributorFinder(parts)
        self._retry = retry
        self._proceed = proceed

    def reject(self, approval_id: str, token: str, reason: str, who: str) -> Approval:
        """A person's no. There is no person's yes: only a verdict approves."""
        approval = self._store.approvals.get(approval_id)
        if not _same(approval.token, token):
            raise DeniedError(f"that is not the token of {approval_id}", "`dockgate approval show` tells it.")
        answer = Answer(ApprovalState.REJECTED, shorten(f"rejected by {who}: {reason}"), "", who)
        if not self._effects.run(Step.ANSWER, self._store.approvals.settle, approval_id, answer, self._parts.now()):
            raise ConflictError(f"{approval_id} is settled already", "`dockgate approval show` says how.")
        self._proceed(approval_id)
        return self._store.approvals.get(approval_id)

    def vote(self, approval_id: str, principal: Principal, yes: bool, reason: str) -> Approval:
        """A person's word on an approval that waits for people; their first one stands. So many yes and a verdict that
        approves settle it as approved; one no rejects. DeniedError for whoever does not count."""
        approval = self._store.approvals.get(approval_id)
        if approval.approvers is None:
            raise UsageError(
                f"{approval_id} waits for a verdict alone", "Name `approvers` in the action; `reject` needs none."
            )
        objection = vote_objection(approval.approvers, principal, approval.committers)
        if approval.approvers.exclude_committer and objection is None:
            objection = self._contributors.of(ActionKey.parse(approval_id)).objection(principal)
        if objection:
            raise DeniedError(objection, "Somebody else has to approve it.")
        vote = Vote(approval_id, principal.name, yes, reason, self._parts.now())
        stands = self._effects.run(Step.VOTE, self._store.approvals.vote, vote)
        if stands.yes != yes:
            word = "yes" if stands.yes else "no"
            raise ConflictError(f"{principal.name} has said {word} to {approval_id} already", "A first vote stands.")
        self._effects.run(Step.ANSWER, self._verdicts.answer, approval.image)
        self._proceed(approval_id)
        return self._store.approvals.get(approval_id)

    def override(self, approval_id: str, principal: Principal, reason: str, until: str) -> Sequence[WaiverRecord]:
        """Accepts what a verdict rejected, until a date, and tries the execution again, whose new verdict then
        approves. Nothing is put on record that would not turn it. The old answer stays as it was.

        DeniedError for whoever contributed to what was rejected, started it, or asked for the approval: who may not
        approve may not override."""
        approval = self._store.approvals.get(approval_id)
        who = principal.name
        objection = None if principal is LOCAL else self._override_objection(approval, principal)
        if objection:
            raise DeniedError(objection, "Somebody else has to override it.")
        if not approval.verdict:
            raise ConflictError(f"{approval_id} was not rejected by a verdict", "`dockgate approval show` says how.")
        verdict = self._store.images.verdict(approval.verdict)
        waivers = waivers_of(approval, verdict, who, reason, until)
        left = self._verdicts.objection(approval, waivers)
        if left:
            raise ConflictError(
                f"with what was rejected accepted until {until}, it would still not be approved: {left}",
                "Ask for a new approval first: something else has come since, or the date is over. What an expression "
                "says of findings without naming them is accepted by waivers of the findings.",
            )
        records = [self._effects.run(Step.ACCEPT, self._exceptions.add, waiver) for waiver in waivers]
        if not is_external(approval_id):
            key = ActionKey.parse(approval_id)
            last = latest_runs(self._store.executions.runs(key.execution))[key.stage, key.action]
            if last.key == key:
                self._retry(key.execution, "")  # to override is a decision: who made it is on the waivers
        return records

    def _override_objection(self, approval: Approval, principal: Principal) -> str | None:
        """Why this principal may not override the approval's rejection, None if they may."""
        if is_external(approval.id):
            return f"{principal.name} asked for the approval" if approval.asked_by == principal.name else None
        if approval.approvers is not None and not approval.approvers.exclude_committer:
            return None
        if is_contributor(principal, approval.committers):
            return f"{principal.name} {IS_CONTRIBUTOR}"
        return self._contributors.of(ActionKey.parse(approval.id)).objection(principal)


def _same(left: str, right: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(left.encode(errors="replace"), right.encode(errors="replace"))
