"""Recovery: start what a crash, a broken workflow or a lost message left undone."""

from dataclasses import dataclass, field

from dockgate.delivery.model import Approval
from dockgate.services.approvals.settlement import ApprovalSettler
from dockgate.services.error_isolation import run_for_each
from dockgate.services.images.scans import ScanScheduler
from dockgate.services.reconciler_rounds import OverdueItems
from dockgate.services.workflow_starter import Starter
from dockgate.store import Store


@dataclass(slots=True)
class Recovery:
    """The start of what was written and not started. Each method may be called at any time."""

    store: Store
    scans: ScanScheduler
    approval_settler: ApprovalSettler
    starter: Starter
    _unanswered_images: OverdueItems[str] = field(default_factory=OverdueItems, init=False)

    def start_events(self) -> None:
        """Start the events that were written, but not started before the server ended."""
        run_for_each([event.id for event in self.store.push_events.list_unhandled()], self.starter.start_event)

    def start_scans(self) -> None:
        """Start the scans that were requested and that no process runs."""
        run_for_each(self.store.images.list_requested_scans(), self.scans.start, lambda scan: scan.image)

    def continue_executions(self) -> None:
        """Continue approvals, executions and rollouts whose workflow broke. One that fails blocks no other."""
        steps = (self._request_scans, self._answer_approvals, self._continue_executions, self._continue_rollouts)
        run_for_each(steps, lambda step: step(), lambda step: step.__name__)

    def release_claims(self) -> None:
        """Release the outbox entries that are claimed by workers which no longer exist."""
        self.store.outbox.release_lost([worker.id for worker in self.store.workers.list()])

    def _request_scans(self) -> None:
        def request(approval: Approval) -> None:
            self.scans.request(approval.repository, approval.image)

        run_for_each(self.store.approvals.list_unscanned(), request, lambda approval: approval.id)

    def _answer_approvals(self) -> None:
        """A scan that has just ended answers its approvals itself."""
        run_for_each(
            self._unanswered_images.select_overdue(self.store.approvals.list_answerable_images()),
            self.approval_settler.settle_and_continue,
        )

    def _continue_executions(self) -> None:
        run_for_each(self.store.executions.list_runnable(), self.starter.continue_execution)

    def _continue_rollouts(self) -> None:
        run_for_each(self.store.rollouts.list_in_progress(), self.starter.start_rollout, lambda rollout: rollout.id)
