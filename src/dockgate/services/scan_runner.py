"""Reads an image once and stores its inventories, or asks another scanner for its findings at each scan."""

from collections.abc import Sequence

from dockgate.delivery.ports import FindingsSource, ImageReader
from dockgate.gate.model import ExternalReport
from dockgate.services.clock import ServerClock
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.shared.errors import PendingError
from dockgate.store import Store
from dockgate.store.records import Scan

# How long after the scan was requested another scanner may take.
PATIENCE_DAYS = 1 / 24


class ScanRunner:
    """Runs scans. `findings` is the other scanner that some repositories rely on, None for none."""

    def __init__(
        self,
        store: Store,
        read_image: ImageReader,
        findings: FindingsSource | None,
        exceptions: RiskAcceptances,
        clock: ServerClock,
    ) -> None:
        self._store = store
        self._read_image = read_image
        self._findings = findings
        self._exceptions = exceptions
        self._clock = clock

    def run(self, scan: Scan) -> None:
        """Store the image's inventories, or another scanner's reports, and the VEX documents that are attached to it.

        PendingError while the other scanner has not finished.
        """
        source = self._source(scan)
        if source is not None:
            answer = source.ask(scan.repository, scan.image)
            if answer.pending and scan.requested_at > self._clock.ago(PATIENCE_DAYS):
                raise PendingError(answer.pending)
            self._record_vex(scan, [report.inventory.image for report in answer.reported])
            self._finish(scan, source, answer.reported, f"{source.title} is asked in place of a scan.")
            return
        inventories = self._read_image(scan.repository, scan.image)
        self._record_vex(scan, [inventory.image for inventory in inventories])
        self._store.images.finish_scan(scan.image, scan.number, inventories, "", self._clock.now())

    def fail(self, scan: Scan, reason: str, *, is_image: bool = True) -> None:
        """Store the failure. Earlier reports of another scanner become void, too."""
        source = self._source(scan)
        if source is not None:
            self._finish(scan, source, [source.unknown(scan.image, reason)], reason)
        else:
            now = self._clock.now()
            self._store.images.finish_scan(scan.image, scan.number, (), reason, now, is_image=is_image)

    def _source(self, scan: Scan) -> FindingsSource | None:
        source = self._findings
        return source if source is not None and source.knows(scan.repository) else None

    def _finish(self, scan: Scan, source: FindingsSource, reported: Sequence[ExternalReport], reason: str) -> None:
        """Without inventories of our own, the next request for a scan asks the other scanner again."""
        now = self._clock.now()
        self._store.reports.replace(scan.image, reported, source.name, now)
        self._store.images.finish_scan(scan.image, scan.number, (), reason, now)

    def _record_vex(self, scan: Scan, platforms: Sequence[str]) -> None:
        for image in dict.fromkeys((scan.image, *platforms)):
            self._exceptions.record_attached_vex(scan.repository, image)
