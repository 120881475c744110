"""What other scanners report, beside our own advisory database."""

from collections.abc import Sequence

from dockgate.gate.model import EMPTY_SNAPSHOT, ExternalReport
from dockgate.services.dependencies import Dependencies
from dockgate.shared.errors import DatabaseError
from dockgate.vulnerabilities.model import AdvisorySnapshot


def consult_catalogues(parts: Dependencies, reported: Sequence[ExternalReport]) -> AdvisorySnapshot:
    """What KEV and EPSS say of these findings; nothing where there is no advisory database."""
    try:
        return parts.advisories().catalogues(reported)
    except DatabaseError:
        return EMPTY_SNAPSHOT
