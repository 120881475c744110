"""Match package lists with the findings of another scanner. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Finding, Matches
from dockgate.vulnerabilities.ports import PackageMatcher
from dockgate.vulnerabilities.versions import Orders


class ExternalReportMatcher(PackageMatcher):
    """A PackageMatcher over an external report.

    Versions without an order of their ecosystem can only be equal or different.
    """

    def __init__(self, report: ExternalReport, ecosystems: Sequence[Ecosystem]) -> None:
        self._matches = report.matches
        self._orders = Orders(ecosystems)
        # By package, each finding with its index among all.
        self._findings: dict[tuple[str, str], list[tuple[int, Finding]]] = {}
        for number, finding in enumerate(report.matches.findings):
            package = finding.package
            self._findings.setdefault((package.purl, package.path), []).append((number, finding))

    @override
    def match(self, packages: Sequence[Package]) -> Matches:
        """The report's findings of these packages, without those that an upgrade fixed."""
        present_packages = {(package.purl, package.path): package for package in packages}
        findings = [
            (number, replace(finding, package=package))
            for key, package in present_packages.items()
            for number, finding in self._findings.get(key, ())
            if not self._is_fixed(package, finding.package, finding.fixed)
        ]
        findings.sort(key=itemgetter(0))
        return Matches(tuple(finding for _, finding in findings), self._matches.undetermined)

    @override
    def compare(self, ecosystem: str, first: str, second: str) -> int:
        return 0 if first == second else self._orders.compare(ecosystem, first, second)

    def _is_fixed(self, present_package: Package, reported_package: Package, fixed_version: str | None) -> bool:
        if not fixed_version or present_package.source_version == reported_package.source_version:
            return False
        try:
            return self.compare(reported_package.ecosystem, present_package.source_version, fixed_version) >= 0
        except UncomparableError:
            return False
