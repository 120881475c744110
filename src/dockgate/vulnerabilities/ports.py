"""The interface of the advisory database. The contract suites in `tests/contracts` test each implementation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage

if TYPE_CHECKING:  # a scan does not need it
    from dockgate.gate.model import ExternalReport


class AdvisoryReader(Protocol):
    """The advisory database, open for reading."""

    # Of its content: changes whenever any answer could.
    digest: str

    def snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        """All that the database says of these inventories' packages, and its coverage of their ecosystems."""
        ...

    def catalogues(self, reported: "Sequence[ExternalReport]") -> AdvisorySnapshot:
        """What KEV and EPSS say of the CVEs that other scanners report, without any advisory."""
        ...

    def coverage(self) -> Sequence[Coverage]: ...
