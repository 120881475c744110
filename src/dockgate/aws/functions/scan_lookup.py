"""Scans of an image, which may be a manifest or an index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.aws.functions.wait_table import ImageItems, WaitTable
from dockgate.aws.indexes import Indexes
from dockgate.aws.scans import Scans, ScanState
from dockgate.shared.aws import find_error_code
from dockgate.shared.errors import ImageError

# ECR's errors for a repository that is missing in the stack's parameter ImageRepositories.
_NOT_OURS = ("AccessDeniedException", "RepositoryNotFoundException")

# Logs an event as (event, **facts): see `telemetry`.
LogEvent = Callable[..., None]


@dataclass(frozen=True, slots=True)
class ScanLookup:
    """A lookup of what Inspector knows of an image or an index."""

    waits: WaitTable
    scans: Scans
    indexes: Indexes
    log_event: LogEvent

    def look_up(self, digest: str, repository: str | None, items: ImageItems) -> ScanState:
        """Return the scan of an image. Without `repository`, the repository of its last scan is used.

        A digest that Inspector does not know may be an index: then its manifests are looked up, and the result combines
        theirs. Raises the client's errors.
        """
        scan = items.find_scan(repository)
        if repository is None and scan is not None:
            repository = scan.repository
        scan_state = self.scans.look_up(digest, repository, scan)
        if scan is not None or scan_state.documents or repository is None:
            return scan_state
        try:
            platforms = self._list_platforms(digest, repository, items)
        except ImageError as error:
            return ScanState(True, str(error))
        return self._combine_platforms(platforms, repository) if platforms else scan_state

    def _list_platforms(self, digest: str, repository: str, items: ImageItems) -> Sequence[str]:
        """The manifests of an index, looked up once and recorded.

        The end of a manifest's scan then triggers the approvals of the index.
        """
        if items.platforms is not None:
            return items.platforms
        try:
            children = self.indexes.find_children(repository, digest)
        except Exception as error:
            if find_error_code(error) not in _NOT_OURS:
                raise
            self.log_event(
                "IndexUnknown", digest=digest, repository=repository, error=f"{type(error).__name__}: {error}"
            )
            return ()
        if children is None:
            return ()
        platforms = tuple(child.digest for child in children)
        self.waits.record_platforms(digest, platforms)
        return platforms

    def _combine_platforms(self, platforms: Sequence[str], repository: str) -> ScanState:
        """Combine the scans of all platforms: over when all are.

        The fault of one scan does not hide the findings of the others.
        """
        scan_states = [
            self.scans.look_up(platform, repository, self.waits.read_items(platform).find_scan(repository))
            for platform in platforms
        ]
        is_over = all(scan_state.is_over for scan_state in scan_states)
        faults = [scan_state.fault for scan_state in scan_states if scan_state.fault and scan_state.is_over is is_over]
        documents = {
            digest: document for scan_state in scan_states for digest, document in scan_state.documents.items()
        }
        return ScanState(is_over, next(iter(faults), None), documents)
