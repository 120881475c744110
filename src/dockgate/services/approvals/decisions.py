"""The decisions of people on approvals: votes, rejections and overrides."""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dockgate.delivery.approvals import find_decision_objection, make_rejection
from dockgate.delivery.contributors import IS_CONTRIBUTOR, Contributors, find_same_person, is_contributor
from dockgate.delivery.model import ActionKey, Approval, ApprovalId, Vote
from dockgate.delivery.override import get_rejecting_verdict, make_waivers
from dockgate.delivery.pipeline import select_latest_runs
from dockgate.identity.model import LOCAL, Caller, Principal
from dockgate.services.approvals.contributors import ContributorFinder
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.pipelines.executions import Executions
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.errors import ConflictError, DeniedError, UsageError
from dockgate.shared.reasons import require_short_reason
from dockgate.shared.references import RepositoryReference
from dockgate.store import Store
from dockgate.store.records import WaiverRecord

# What to do about an approval on which no one may vote.
NO_VOTER = "No one can vote until the contributors are known."
# Why a local caller cannot vote while the server has no principals.
NO_NAMED_USERS = "manual approval needs named users; none exist yet"


@dataclass(frozen=True, slots=True)
class VoterCheck:
    """An answer to whether a person may vote: `objection` is why not, None if they may.

    `contributors_unknown` is why no one may vote, None if the contributors are known or do not matter.
    """

    objection: str | None
    contributors_unknown: str | None


@dataclass(frozen=True, slots=True)
class ApprovalDecisions:
    """People's decisions on approvals, and the continuation of the executions that waited for them."""

    store: Store
    verdicts: Verdicts
    approval_settler: ApprovalSettler
    waivers: ServerWaivers
    executions: Executions
    contributors: ContributorFinder
    clock: ServerClock
    effects: Effects

    def reject(self, approval_id: ApprovalId, token: str, reason: str, caller: Caller, name: str) -> Approval:
        """Reject an approval, under the caller's name. UsageError without a reason, or for a long one.

        If it needs people, this is a no of the caller, whose vote must count (`vote`). While the server has no
        principals, it has no approvers, and every local caller may reject.
        """
        _require_reason(reason)
        approval = self.store.approvals.get(approval_id)
        if not _is_same_token(approval.token, token):
            raise DeniedError(f"wrong approval token for {approval_id}", "`dockgate approval show` prints it.")
        if approval.approvers is not None and caller.principal is not LOCAL:
            return self.vote(approval_id, caller, is_approving=False, reason=reason)
        answer = make_rejection(name, reason)
        if not self.effects.run(EffectKind.ANSWER, self.store.approvals.settle, approval_id, answer, self.clock.now()):
            raise ConflictError(
                f"{approval_id} is already settled", f"`dockgate approval show {approval_id}` shows the answer."
            )
        self.approval_settler.continue_execution(approval_id)
        return self.store.approvals.get(approval_id)

    def vote(self, approval_id: ApprovalId, voter: Caller, is_approving: bool, reason: str) -> Approval:
        """Record a person's vote on an approval that needs people; their first vote counts.

        The required number of yes votes and an approving verdict settle it as approved; one no rejects. DeniedError for
        a person whose vote does not count, yes or no; UsageError for a no without a reason, or a long one.
        """
        require_short_reason(reason)
        if not is_approving:
            _require_reason(reason)
        approval = self.store.approvals.get(approval_id)
        if approval.approvers is None:
            raise UsageError(
                f"{approval_id} waits only for a verdict, not for people",
                "To require people, set `approvers` of the action. `dockgate approval reject` works without them.",
            )
        principal = voter.principal
        if principal is LOCAL:
            raise DeniedError(NO_NAMED_USERS, "Run `dockgate principal add NAME --role admin`.")
        # A repetition of the person's own vote gets the answer of the first one.
        voters = (person for _, person in self.store.approvals.list_votes(approval_id))
        check = self.check_voter(approval, voter, (person for person in voters if person.name != principal.name))
        if check.objection:
            is_for_all = check.contributors_unknown is not None
            raise DeniedError(check.objection, NO_VOTER if is_for_all else "Another approver must vote.")
        vote = Vote(approval_id, principal.name, is_approving, reason, self.clock.now())
        first = self.effects.run(EffectKind.VOTE, self.store.approvals.vote, vote)
        if first.is_yes != is_approving:
            word = "yes" if first.is_yes else "no"
            raise ConflictError(f"{principal.name} has already voted {word} on {approval_id}", "The first vote counts.")
        self.effects.run(EffectKind.ANSWER, self.approval_settler.settle, approval.image)
        self.approval_settler.continue_execution(approval_id)
        return self.store.approvals.get(approval_id)

    def check_voter(
        self, approval: Approval, voter: Caller, earlier_voters: Iterable[Principal], *, is_for_page: bool = False
    ) -> VoterCheck:
        """Return whether this person may vote on a waiting approval that needs people.

        A vote is checked by this, and so is an answer or a page that offers it: with `is_for_page`, the contributors
        may be those of some seconds ago.
        """
        approvers, action = approval.approvers, approval.id.action
        if approvers is None or voter.principal is LOCAL:
            return VoterCheck(None, None)
        objection = find_decision_objection(approvers, voter, approval.committers, approval.repository, earlier_voters)
        # Whether others may vote is looked up only if the contributors were unknown at the request.
        is_settled = objection is not None and approval.contributors_unknown is None
        if action is None or not approvers.exclude_committer or is_settled:
            return VoterCheck(objection, None)
        contributors = self._find_contributors(action, is_for_page=is_for_page)
        return VoterCheck(objection or contributors.find_objection(voter.principal), contributors.unknown_reason)

    def _find_contributors(self, action: ActionKey, *, is_for_page: bool) -> Contributors:
        return self.contributors.find_recent(action) if is_for_page else self.contributors.find(action)

    def override(
        self, approval_id: ApprovalId, principal: Principal, reason: str, until: str
    ) -> Sequence[WaiverRecord]:
        """Waive what a verdict rejected until a date, and retry the execution.

        Nothing is recorded if the image would be rejected all the same. The old answer is not changed. UsageError for
        a date in the past, without a reason, or for a long one.

        DeniedError for principals who may not approve: those who contributed to the image, started the execution,
        requested the approval, or pushed the image of an external pipeline.
        """
        require_short_reason(reason)
        approval = self.store.approvals.get(approval_id)
        if objection := self.find_override_objection(approval, principal):
            raise DeniedError(objection, "Another person must override it.")
        verdict = self.store.verdicts.get(get_rejecting_verdict(approval))
        waivers = make_waivers(approval, verdict, principal.name, reason, until)
        for waiver in waivers:
            self.waivers.check(waiver)
        if remaining := self.verdicts.find_rejection_with_waivers(approval, waivers):
            raise ConflictError(
                f"the waivers until {until} for everything that was rejected would not be enough: {remaining}",
                "Request a new approval first: the advisories have changed since, or the date has passed. If an "
                "expression rejects findings without naming them, waive these findings.",
            )
        records = [self.waivers.add_waiver(waiver) for waiver in waivers]
        if key := approval.action:
            last = select_latest_runs(self.store.executions.list_runs(key.execution))[key.stage, key.action]
            if last.key == key:
                self.executions.retry(key.execution, None)  # the waivers name who decided
        return records

    def find_override_objection(
        self, approval: Approval, principal: Principal, *, is_for_page: bool = False
    ) -> str | None:
        """Return why this principal may not override the approval's rejection, None if they may.

        `is_for_page` is as for `check_voter`.
        """
        if principal is LOCAL:
            return None
        action = approval.id.action
        if action is None:
            if reason := self._find_part(principal, [approval.requested_by], "asked for the approval"):
                return reason
            pushers = self.store.images.list_all_pushers(approval.image)  # also before it was copied there
            if reason := self._find_part(principal, pushers, "pushed the image"):
                return reason
            is_own = RepositoryReference.parse(approval.repository).is_own
            if is_own and not any(self.store.images.list_pushers(approval.repository, approval.image)):
                return "the pusher of the image is unknown"  # such as one under a tag of attached documents
            return None
        if approval.approvers is not None and not approval.approvers.exclude_committer:
            return None
        if is_contributor(principal, approval.committers):
            return f"{principal.name} {IS_CONTRIBUTOR}"
        return self._find_contributors(action, is_for_page=is_for_page).find_objection(principal)

    def _find_part(self, principal: Principal, names: Sequence[str | None], part: str) -> str | None:
        """Return the part of the principal in the image, None if no principal of these names is the same person."""
        if principal.name in names:
            return f"{principal.name} {part}"
        candidates = [candidate for candidate in self.store.principals.list() if candidate.name in names]
        person = find_same_person(principal, candidates)
        return f"{principal.name} has the mailbox of {person.name}, who {part}" if person else None


def _is_same_token(token: str, sent_token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(token.encode(errors="replace"), sent_token.encode(errors="replace"))


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("a rejection needs a reason", "Add `reason`, for the author of the change.")
    require_short_reason(reason)
