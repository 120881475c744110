"""Settle waiting approvals by a verdict, as soon as there is one, or as expired.

An approval and a scan may come in any order, and each may come twice: both sides first write their half, then call
`ApprovalSettler.settle`. The later of the two writes sees both halves, and the table settles an approval only while it
waits: so each waiter gets one answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from dockgate.delivery.approvals import VoteOfPerson, find_expiry, has_enough_votes, make_answer
from dockgate.delivery.model import Answer, Approval, ApprovalId, ApprovalState, ExecutionId
from dockgate.gate.model import Verdict
from dockgate.identity.model import Caller
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.workflow_starter import Starter
from dockgate.store.delivery.approvals import Approvals
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict
from dockgate.store.verdict_causes import VerdictCause

# (approval, cause) -> the verdict that it waits for, to be stored under the cause; None until the image was scanned.
JudgeApproval = Callable[[Approval, VerdictCause], UnstoredVerdict | None]


class SettlingOutcome(Enum):
    """What became of an approval that was to be settled."""

    SETTLED = "settled"
    WAITS_FOR_SCAN = "waits for a scan"
    WAITS_FOR_PEOPLE = "waits for people"


@dataclass(frozen=True, slots=True)
class ApprovalSettler:
    """The answers to waiting approvals, and the start of what follows.

    `add_projects` adds to voters what their roles for some repositories cover.
    """

    approvals: Approvals
    judge_approval: JudgeApproval
    add_projects: Callable[[Caller], Caller]
    clock: ServerClock
    effects: Effects
    starter: Starter

    def settle_and_continue(self, image: str) -> None:
        """Settle the approvals of this image, and continue the executions."""
        for execution in self.effects.run(EffectKind.ANSWER, self.settle, image):
            self.starter.continue_execution(execution)

    def settle(self, image: str) -> list[ExecutionId]:
        """Settle every approval that waits on this image and can be decided now.

        Return the executions that may continue. Approvals that ask for the same are judged once, and settled
        together.
        """
        run_for_each(self.approvals.list_waiting_groups(image), self._settle_group, lambda group: group[0].id)
        return list(self.approvals.list_open_executions(image))

    def expire(self) -> None:
        """Settle the approvals whose time is over."""
        now = self.clock.now()

        def expire(approval: Approval) -> None:
            if answer := find_expiry(approval, now):
                self.effects.run(EffectKind.EXPIRE, self.approvals.settle, approval.id, answer, now)
                self.continue_execution(approval.id)

        run_for_each(self.approvals.list_expired(now), expire, lambda approval: approval.id)

    def continue_execution(self, approval_id: ApprovalId) -> None:
        """Continue the execution that waited on the approval.

        External pipelines read the answer, or get it by callback.
        """
        if action := approval_id.action:
            self.starter.continue_execution(action.execution)

    def _settle_group(self, group: tuple[Approval, Sequence[ApprovalId]]) -> None:
        approval, ids = group
        if approval.approvers is not None:
            self._settle_with_people(approval)
        else:
            self._judge_and_settle(approval, ids, VerdictCause.make_approval(approval.id))

    def _settle_with_people(self, approval: Approval) -> None:
        """Judge the image, and again with the last vote that is needed.

        People may vote long after the verdict.
        """
        if not approval.verdict:
            outcome = self._judge_and_settle(approval, [approval.id], VerdictCause.make_approval(approval.id))
            if outcome is not SettlingOutcome.WAITS_FOR_PEOPLE:
                return
        votes = [(vote, self.add_projects(Caller(voter))) for vote, voter in self.approvals.list_votes(approval.id)]
        if has_enough_votes(approval, votes):
            self._judge_and_settle(approval, [approval.id], VerdictCause.make_vote(approval.id), votes)

    def _judge_and_settle(
        self, approval: Approval, ids: Sequence[ApprovalId], cause: VerdictCause, votes: Sequence[VoteOfPerson] = ()
    ) -> SettlingOutcome:
        """Judge the image of an approval, and settle all that ask for the same by its verdict."""
        unstored_verdict = self.judge_approval(approval, cause)
        if unstored_verdict is None:
            return SettlingOutcome.WAITS_FOR_SCAN
        now = self.clock.now()

        def make_group_answer(verdict: tuple[Verdict, str]) -> Answer:
            return make_answer(approval, verdict, votes)

        answer = self.approvals.settle_by_verdict(ids, unstored_verdict, make_group_answer, now)
        is_waiting = answer is not None and answer.state is ApprovalState.WAITING
        return SettlingOutcome.WAITS_FOR_PEOPLE if is_waiting else SettlingOutcome.SETTLED
