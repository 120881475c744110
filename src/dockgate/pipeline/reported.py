"""What other scanners report, beside our own advisory database."""

from collections.abc import Sequence

from dockgate.core.errors import DatabaseError
from dockgate.core.model import Slice
from dockgate.core.verdict import NOTHING_CONSULTED, Reported
from dockgate.pipeline.parts import Parts


def consult_catalogues(parts: Parts, reported: Sequence[Reported]) -> Slice:
    """What KEV and EPSS say of these findings; nothing where there is no advisory database."""
    try:
        return parts.advisories().catalogues(reported)
    except DatabaseError:
        return NOTHING_CONSULTED
