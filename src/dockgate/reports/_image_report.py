"""One view of the three kinds of report, platform by platform: most formats start from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

from dockgate import __version__
from dockgate.reports import GateReport, InventoryReport, ScanReport
from dockgate.scanner.local_reference import split_scheme
from dockgate.scanner.model import Inventory, Package
from dockgate.shared import purl
from dockgate.shared.platforms import Platform
from dockgate.shared.references import strip_digest
from dockgate.vulnerabilities.model import Finding, UndeterminedFact

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedExemption, PlatformVerdict, Verdict, Violation

TOOL = "Dockgate"
VERSION = __version__
_NO_PACKAGE = Package("", "", "", "", "", "", "")
NO_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class PlatformPart:
    """One platform of an image. `platform` is None if unknown.

    `platform_verdict` is None for scans and inventories, `inventory` is None where it is not available. `undetermined`
    of a scan includes what could not be read; of a verdict it has what the policy does not accept.
    """

    platform: str | None
    manifest: str
    inventory: Inventory | None
    findings: tuple[Finding, ...]
    undetermined: tuple[UndeterminedFact, ...]
    platform_verdict: "PlatformVerdict | None" = None

    @property
    def label(self) -> str | None:
        """The platform, and the name of the other scanner that reported it, if any; None if both are absent."""
        return self.platform_verdict.label if self.platform_verdict else self.platform

    @property
    def packages(self) -> tuple[Package, ...]:
        """The packages of the inventory; without an inventory, the packages that have findings."""
        if self.inventory:
            return self.inventory.packages
        return tuple(
            sorted({finding.package for finding in self.findings}, key=lambda package: (package.purl, package.path))
        )

    @property
    def broken_rules(self) -> dict[Finding, tuple[str, ...]]:
        """Each finding that breaks a rule, with the names of the rules."""
        rules: dict[Finding, tuple[str, ...]] = {}
        for violation in self.platform_verdict.violations if self.platform_verdict else ():
            for finding in violation.findings:
                rules[finding] = (*rules.get(finding, ()), violation.rule)
        return rules

    @property
    def non_blocking(self) -> "tuple[tuple[str, tuple[Violation, ...]], ...]":
        """The violations that do not reject, without empty groups: ("warning", …) and ("note", …)."""
        verdict = self.platform_verdict
        groups = (("warning", verdict.warnings), ("note", verdict.notes)) if verdict else ()
        return tuple((kind, violations) for kind, violations in groups if violations)

    @property
    def waived_findings(self) -> "dict[Finding, AppliedExemption]":
        """Each finding that does not count, with the waiver or VEX statement that excludes it."""
        applied_waivers = self.platform_verdict.waived if self.platform_verdict else ()
        return {entry.finding: entry for entry in applied_waivers if entry.finding}

    @property
    def waived_violations(self) -> "tuple[AppliedExemption, ...]":
        """The accepted violations that have no findings."""
        return (
            tuple(entry for entry in self.platform_verdict.waived if not entry.finding) if self.platform_verdict else ()
        )

    def strip_package(self, finding: Finding) -> "tuple[Finding, AppliedExemption | None]":
        """The finding and what excludes it, without the package: alike for all packages with the same data."""
        by = self.waived_findings.get(finding)
        return replace(finding, package=_NO_PACKAGE), replace(by, finding=None) if by else None

    @property
    def has_unknown_base(self) -> bool:
        """Return whether the platform has layers, and it is unknown which of them are the base image's."""
        return self.inventory is not None and bool(self.inventory.layers) and not self.inventory.base_layers

    def is_in_base(self, package: Package) -> bool | None:
        """Return whether the package is in a layer of the base image; None if the base layers are unknown."""
        if self.inventory is None or not self.inventory.base_layers:
            return None
        return self.inventory.is_in_base(package)


@dataclass(frozen=True, slots=True)
class ImageReport:
    """An image with its platforms.

    `created_at` is when the report was made (RFC 3339), `verdict` None for scans.
    """

    reference: str
    digest: str
    created_at: str
    parts: tuple[PlatformPart, ...]
    verdict: "Verdict | None" = None

    @property
    def is_single_manifest(self) -> bool:
        """Return whether the report is about a single manifest, not an index."""
        return len(self.parts) == 1 and self.parts[0].manifest == self.digest


def build_image_report(report: ScanReport | GateReport | InventoryReport) -> ImageReport:
    """The common view of a scan, a verdict or an inventory."""
    if isinstance(report, GateReport):
        verdict = report.verdict
        inventories = {(inventory.platform, inventory.image_digest): inventory for inventory in report.inventories}
        parts = tuple(
            PlatformPart(
                entry.platform,
                entry.image,
                # Another scanner's packages are not those of our inventory.
                None if entry.source else inventories.get((entry.platform, entry.image)),
                entry.findings,
                entry.undetermined,
                entry,
            )
            for entry in verdict.platform_verdicts
        )
        return ImageReport(report.reference, verdict.image, verdict.inputs.now or NO_TIME, parts, verdict)
    if isinstance(report, ScanReport):
        results = [(inventory, matches.findings, matches.undetermined) for inventory, matches in report.platforms]
    else:
        results = [(inventory, (), ()) for inventory in report.inventories]
    parts = tuple(
        PlatformPart(
            inventory.platform,
            inventory.image_digest,
            inventory,
            findings,
            (
                *(UndeterminedFact(entry.path, entry.reason, "unread") for entry in inventory.unread),
                *undetermined_entries,
            ),
        )
        for inventory, findings, undetermined_entries in results
    )
    return ImageReport(report.reference, report.digest, report.scanned_at or NO_TIME, parts)


class ImageFormat:
    """An output format that writes the common view of scans, verdicts and inventories with `write`."""

    def __init__(self, write: Callable[[ImageReport, TextIO], None]) -> None:
        self._write = write

    def write_scan(self, report: ScanReport | GateReport | InventoryReport, output: TextIO) -> None:
        self._write(build_image_report(report), output)

    write_verdict = write_inventory = write_scan


def format_relative_uri(path: str) -> str:
    """A path inside the image as a relative URI reference (RFC 3986)."""
    from urllib.parse import quote  # slow to import, and a plain scan does not need it

    return quote(path.lstrip("/"), safe="/", errors="backslashreplace")


def build_image_purl(reference: str, digest: str, platform: str | None = None) -> str:
    """The package URL of an image, of the type "oci" (purl-spec, types/oci-definition)."""
    scheme, location = split_scheme(strip_digest(reference))
    is_local = scheme is not None or location.startswith((".", "/"))
    folder, slash, name = location.rstrip("/").rpartition("/")
    name = name.partition(":")[0]
    qualifiers = {"arch": Platform.parse(platform).machine if platform else ""}
    if slash and not is_local:
        qualifiers["repository_url"] = f"{folder}/{name}"
    return purl.write_purl("oci", "", name.lower() or "image", digest, qualifiers)
