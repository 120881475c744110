"""The loop that answers waiting approvals. `delivery.approvals.decide` says what each answer is.

An approval and a scan may come in any order, and each may come twice: both sides first write their half, then call
this loop. The later of the two writes sees both halves, and the table settles an approval only while it waits: so each
waiter gets one answer.
"""

from collections.abc import Callable, Iterable

from dockgate.delivery.approvals import decide, vote_objection
from dockgate.delivery.model import Approval, ApprovalState, Approvers, waiting_action
from dockgate.gate.model import Verdict
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Effects, Starter, Step
from dockgate.store.approvals import Approvals

# (approval, cause) -> the verdict that it waits for and its digest, stored under the cause; None until the image was
# scanned. The same cause gives the same verdict.
Evaluate = Callable[[Approval, str], tuple[Verdict, str] | None]


class WaitingApprovals:
    """Answers waiting approvals, and starts what follows."""

    def __init__(
        self,
        approvals: Approvals,
        evaluate: Evaluate,
        clock: ServerClock,
        effects: Effects,
        starter: Starter,
    ) -> None:
        self._approvals = approvals
        self._evaluate = evaluate
        self._clock = clock
        self._effects = effects
        self._starter = starter

    def answer(self, image: str) -> None:
        """Settle the approvals of this image, and continue the executions."""
        for execution in self._effects.run(Step.ANSWER, self.settle, image):
            self._starter.proceed(execution)

    def settle(self, image: str) -> list[str]:
        """Settle every approval that waits on this image and can be decided now.

        Return the executions that may continue. Approvals that ask for the same are evaluated once, and settled
        together.
        """
        same: dict[tuple[str, str, str], list[Approval]] = {}
        for approval in self._approvals.waiting(image):
            if approval.approvers is not None:
                self._settle_with_people(approval, approval.approvers)
            else:
                same.setdefault((approval.policy, approval.repository, approval.service), []).append(approval)
        for approvals in same.values():
            self._decide(approvals, approvals[0].id)
        return list(self._approvals.open_executions(image))

    def expire(self) -> None:
        """Settle the approvals whose time is over."""
        now = self._clock.now()
        for approval in self._approvals.expired(now):
            answer = decide(approval, None, now)
            self._effects.run(Step.EXPIRE, self._approvals.settle, approval.id, answer, now)
            self.proceed(approval.id)

    def proceed(self, approval_id: str) -> None:
        """Continue the execution that waited on the approval.

        Pipelines elsewhere read the answer, or get it by callback.
        """
        if action := waiting_action(approval_id):
            self._starter.proceed(action.execution)

    def _settle_with_people(self, approval: Approval, approvers: Approvers) -> None:
        """People may vote long after the verdict: with the last vote that is needed, the image is evaluated again."""
        if not approval.verdict and not self._decide([approval], approval.id):
            return
        votes = self._approvals.votes(approval.id)
        supporters = [
            vote.who for vote, who in votes if vote.yes and vote_objection(approvers, who, approval.committers) is None
        ]
        if len(supporters) >= approvers.count:
            self._decide([approval], f"{approval.id}/people", supporters)

    def _decide(self, approvals: list[Approval], cause: str, supporters: Iterable[str] = ()) -> bool:
        """Settle the approvals by the verdict of the first. Return whether they wait on for people."""
        verdict = self._evaluate(approvals[0], cause)
        if verdict is None:
            return False
        now = self._clock.now()
        answer = decide(approvals[0], verdict, now, tuple(supporters))
        if answer.state is ApprovalState.WAITING:
            self._approvals.record_verdict(approvals[0].id, answer)
            return True
        self._approvals.settle_all([approval.id for approval in approvals], answer, now)
        return False
