"""Findings that another scanner made, asked as if they had been matched here."""

from collections.abc import Sequence
from dataclasses import replace

from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.model import Matches
from dockgate.vulnerabilities.versions import Orders


class ExternalReportMatcher:
    """`rules.PackageMatcher`. Where no ecosystem orders the versions, they are only the same or not."""

    def __init__(self, reported: ExternalReport, ecosystems: Sequence[Ecosystem]) -> None:
        self._matches = reported.matches
        self._orders = Orders(ecosystems)

    def match(self, packages: Sequence[Package]) -> Matches:
        """A package that was raised to a finding's fixed version, or above it, has the finding no more."""
        present = {(package.purl, package.path): package for package in packages}
        found = []
        for finding in self._matches.findings:
            package = present.get((finding.package.purl, finding.package.path))
            if package is not None and not self._mended(package, finding.package, finding.fixed):
                found.append(replace(finding, package=package))
        return Matches(tuple(found), self._matches.undetermined)

    def compare(self, ecosystem: str, one: str, other: str) -> int:
        return 0 if one == other else self._orders.compare(ecosystem, one, other)

    def _mended(self, now: Package, then: Package, fixed: str) -> bool:
        if not fixed or now.source_version == then.source_version:
            return False
        try:
            return self.compare(then.ecosystem, now.source_version, fixed) >= 0
        except UncomparableError:
            return False
