"""The interfaces of the advisory database, and of what matches packages.

The contract suites in `tests/contracts` test each implementation of the database.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, AdvisoryText, Coverage, Cve, Matches


class PackageMatcher(Protocol):
    """The matching of packages with advisories, or with another scanner's findings.

    `vulnerabilities.matching.Matcher` does the first, `gate.external_findings.ExternalReportMatcher` the second.
    """

    def match(self, packages: Sequence[Package]) -> Matches:
        """The findings of these packages, and what could not be decided about them."""
        ...

    def compare(self, ecosystem: str, first: str, second: str) -> int:
        """-1, 0 or 1: the first version is lower, equal or higher. Raises UncomparableError."""
        ...


class AdvisoryReader(Protocol):
    """The advisory database, open for reading."""

    @property
    def digest(self) -> str:
        """The identity of the content: it changes whenever any answer could change."""
        ...

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        """The advisories for these inventories' packages, and the coverage of their ecosystems."""
        ...

    def read_catalogues(self, cve_names: Collection[str]) -> AdvisorySnapshot:
        """Return the KEV and EPSS data of these CVEs, without any advisory."""
        ...

    def find_cves(self, names: Iterable[str]) -> Mapping[str, Cve]:
        """The facts about those of the CVEs that the database knows, by name."""
        ...

    def find_packages(self, names: Sequence[str]) -> Collection[tuple[str, str]] | None:
        """The packages (ecosystem without release, source name) that records of these names are about.

        None if no record has one of the names.
        """
        ...

    def has_package(self, names: Sequence[str]) -> bool:
        """Return whether advisories have a package of one of these names, in any ecosystem.

        As written, or in lower case.
        """
        ...

    def list_advisories(self, names: Sequence[str]) -> Sequence[Advisory]:
        """The advisories of records of these names, without withdrawn records."""
        ...

    def list_texts(self, names: Sequence[str]) -> Sequence[AdvisoryText]:
        """The texts of records of these names, without withdrawn records and those without a text, by id."""
        ...

    def list_coverage(self) -> Sequence[Coverage]:
        """The coverage of every ecosystem in the database, then that of the catalogues (`CATALOGUES`) in it."""
        ...
