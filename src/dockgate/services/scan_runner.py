"""What an image holds, read once and stored; or, of another scanner's images, what that found in them, asked anew for
each scan."""

from collections.abc import Sequence

from dockgate.delivery.ports import FindingsSource
from dockgate.gate.model import ExternalReport
from dockgate.services.dependencies import Dependencies
from dockgate.services.exceptions import Exceptions
from dockgate.shared.errors import PendingError
from dockgate.store.records import Scan

PATIENCE_DAYS = 1 / 24
"""how long another scanner is waited for, from the wish for a scan on"""


class ScanRunner:
    def __init__(self, parts: Dependencies, exceptions: Exceptions) -> None:
        self._parts = parts
        self._exceptions = exceptions

    def read(self, scan: Scan) -> None:
        """Stores its inventories, or another scanner's reports, and what VEX documents are attached to it. PendingError
        while the other scanner has not ended and may still."""
        source = self._source(scan)
        if source is not None:
            found = source.ask(scan.repository, scan.image)
            if found.pending and scan.requested_at > self._parts.ago(PATIENCE_DAYS):
                raise PendingError(found.pending)
            self._look(scan, [one.inventory.image for one in found.reported])
            self._say(scan, source, found.reported, f"{source.title} is asked in place of a scan.")
            return
        inventories = self._parts.read_image(scan.repository, scan.image)
        self._look(scan, [one.image for one in inventories])
        self._parts.store.images.finish_scan(scan.image, scan.number, inventories, "", self._parts.now())

    def fail(self, scan: Scan, reason: str, *, is_image: bool = True) -> None:
        """What another scanner said of the image before is void, too."""
        source = self._source(scan)
        if source is not None:
            self._say(scan, source, [source.unknown(scan.image, reason)], reason)
        else:
            now = self._parts.now()
            self._parts.store.images.finish_scan(scan.image, scan.number, (), reason, now, is_image=is_image)

    def _source(self, scan: Scan) -> FindingsSource | None:
        source = self._parts.findings
        return source if source is not None and source.knows(scan.repository) else None

    def _say(self, scan: Scan, source: FindingsSource, reported: Sequence[ExternalReport], reason: str) -> None:
        """Without a scan of ours its word stands alone, and whoever asks for a scan next has it asked again."""
        now = self._parts.now()
        self._parts.store.reports.replace(scan.image, reported, source.name, now)
        self._parts.store.images.finish_scan(scan.image, scan.number, (), reason, now)

    def _look(self, scan: Scan, platforms: Sequence[str]) -> None:
        for image in dict.fromkeys((scan.image, *platforms)):
            self._exceptions.look(scan.repository, image)
