"""Findings of other scanners, reported to the server."""

from collections.abc import Sequence

from dockgate.gate.model import ExternalReport
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Effects, Step
from dockgate.services.waiting_approvals import WaitingApprovals
from dockgate.store import Store
from dockgate.store.records import ReportRecord


class FindingReports:
    """Records reports."""

    def __init__(self, store: Store, waiting: WaitingApprovals, clock: ServerClock, effects: Effects) -> None:
        self._store = store
        self._waiting = waiting
        self._clock = clock
        self._effects = effects

    def add(self, reported: Sequence[ExternalReport], who: str, vouched: bool) -> Sequence[ReportRecord]:
        """Record what another scanner reports, and answer the approvals of its images. A `vouched` report may replace
        a scan."""
        put, now = self._store.reports.put, self._clock.now()
        records = [self._effects.run(Step.REPORT, put, report, who, vouched, now) for report in reported]
        for image in dict.fromkeys(record.image for record in records):
            self._waiting.answer(image)
        return records
