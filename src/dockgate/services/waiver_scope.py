"""Which images the waivers of a repository are for."""

from dockgate.delivery.registry_access import OPERATOR, SERVER
from dockgate.services.dependencies import Dependencies
from dockgate.store.records import Scan, ScanState


def waivers_apply(parts: Dependencies, repository: str, image: str, scan: Scan | None) -> bool:
    """Whether the repository's waivers may count for the image.

    Callers name the repository, and must not choose whose waivers count: something read the image there, or its
    registry told of a push. In a repository that a pipeline builds only what the server pushed counts: its waivers were
    accepted for images that were built from commits on record.
    """
    if parts.store.pipelines.is_built(repository):
        return any(pusher in (SERVER, OPERATOR) for pusher in parts.store.images.pushers(repository, image))
    other = parts.findings
    if scan is not None and (scan.state is ScanState.DONE or (other is not None and other.knows(scan.repository))):
        return True
    return bool(parts.store.images.pushers(repository, image))
