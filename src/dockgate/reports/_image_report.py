"""One view of the three kinds of report, platform by platform: most formats start from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockgate import __version__
from dockgate.reports import GateReport, InventoryReport, ScanReport
from dockgate.scanner.model import Inventory, Package
from dockgate.shared import purl
from dockgate.vulnerabilities.model import Finding, State, Undetermined

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver, PlatformVerdict, Verdict, Violation

TOOL = "Dockgate"
VERSION = __version__
NO_TIME = "1970-01-01T00:00:00Z"

_LINKED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:_")


@dataclass(frozen=True, slots=True)
class PlatformPart:
    """One platform of an image.

    `platform_verdict` is None for scans and inventories, `inventory` is None where it is not available. `undetermined`
    of a scan includes what could not be read; of a verdict it has what the policy does not accept.
    """

    platform: str
    manifest: str
    inventory: Inventory | None
    findings: tuple[Finding, ...]
    undetermined: tuple[Undetermined, ...]
    platform_verdict: "PlatformVerdict | None" = None

    @property
    def label(self) -> str:
        """The platform, and the name of the other scanner that reported it, if any."""
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
    def waived_findings(self) -> "dict[Finding, AppliedWaiver]":
        """Each finding that does not count, with the waiver or VEX statement that excludes it."""
        waived = self.platform_verdict.waived if self.platform_verdict else ()
        return {entry.finding: entry for entry in waived if entry.finding}

    @property
    def waived_violations(self) -> "tuple[AppliedWaiver, ...]":
        """The accepted violations that have no findings."""
        return (
            tuple(entry for entry in self.platform_verdict.waived if not entry.finding) if self.platform_verdict else ()
        )

    def in_base(self, package: Package) -> bool | None:
        """Whether the package is in a layer of the base image; None where the base layers are not known."""
        if self.inventory is None or not self.inventory.base_layers:
            return None
        return self.inventory.in_base(package)


@dataclass(frozen=True, slots=True)
class ImageReport:
    """An image with its platforms. `now` is when the report was made (RFC 3339), `verdict` None for scans."""

    reference: str
    digest: str
    now: str
    parts: tuple[PlatformPart, ...]
    verdict: "Verdict | None" = None

    @property
    def is_single_manifest(self) -> bool:
        """Whether the report is about a single manifest, not an index."""
        return len(self.parts) == 1 and self.parts[0].manifest == self.digest


def image_report(report: ScanReport | GateReport | InventoryReport) -> ImageReport:
    """The common view of a scan, a verdict or an inventory."""
    if isinstance(report, GateReport):
        inventories = {(inventory.platform, inventory.image): inventory for inventory in report.inventories}
        parts = tuple(_of_platform_verdict(inventory, inventories) for inventory in report.verdict.platform_verdicts)
        verdict = report.verdict
        return ImageReport(report.reference, verdict.image, verdict.inputs.now or NO_TIME, parts, verdict)
    if isinstance(report, ScanReport):
        parts = tuple(
            PlatformPart(
                inventory.platform,
                inventory.image,
                inventory,
                matches.findings,
                (*_unread(inventory), *matches.undetermined),
            )
            for inventory, matches in report.platforms
        )
    else:
        parts = tuple(
            PlatformPart(inventory.platform, inventory.image, inventory, (), _unread(inventory))
            for inventory in report.inventories
        )
    return ImageReport(report.reference, report.digest, report.now or NO_TIME, parts)


def _of_platform_verdict(verdict: "PlatformVerdict", inventories: Mapping[tuple[str, str], Inventory]) -> PlatformPart:
    """The part for one verdict.

    Another scanner's verdict gets no inventory: its packages are not those of ours.
    """
    inventory = None if verdict.source else inventories.get((verdict.platform, verdict.image))
    return PlatformPart(verdict.platform, verdict.image, inventory, verdict.findings, verdict.undetermined, verdict)


def _unread(inventory: Inventory) -> tuple[Undetermined, ...]:
    return tuple(Undetermined(entry.path, entry.reason, "unread") for entry in inventory.unread)


def remediation_sentence(finding: Finding) -> str:
    """What to do about a finding, as a sentence."""
    package = finding.package
    if finding.malicious:
        return f"Remove {package.name} {package.version}: it is malicious."
    if finding.fixed:
        return f"Upgrade {package.source_name} to {finding.fixed} or later."
    return {
        State.END_OF_LIFE: f"{package.source_name} is end of life and gets no fix: move to a supported release.",
        State.UNKNOWN: f"The advisory does not say whether a fixed version of {package.source_name} exists.",
        State.WONT_FIX: f"The maintainers do not plan to fix {package.source_name} {package.source_version} for now.",
    }.get(finding.state, f"There is no fixed version of {package.source_name} yet.")


def waiver_sentence(waived: "AppliedWaiver") -> str:
    """Who accepted a finding or violation, why, and until when, as a sentence."""
    if waived.kind == "vex":
        return f"VEX statement of {waived.owner}: {waived.reason.rstrip('.')} (document {waived.by})."
    until = f" until {waived.until}" if waived.until else " until it is fixed"
    return f"Accepted by {waived.owner}{until}: {waived.reason.rstrip('.')} (waiver {waived.by})."


def vex_status(waived: "AppliedWaiver | None") -> str:
    """ "not_affected" or "fixed" for what a VEX statement excuses; "" for all else."""
    if waived is None or waived.kind != "vex":
        return ""
    return "fixed" if waived.reason.startswith("fixed") else "not_affected"


def finding_sentence(finding: Finding) -> str:
    """ "openssl 3.5.1-1 is affected by CVE-2025-0001: <summary>"."""
    package = finding.package
    summary = f": {finding.summary.strip()}" if finding.summary.strip() else ""
    return f"{package.name} {package.version} is affected by {finding.id}{summary}"


def advisory_url(identity: str) -> str:
    """The page of a vulnerability at osv.dev, which has every id of our feeds; "" for a malformed id."""
    return f"https://osv.dev/vulnerability/{identity}" if identity and _LINKED.issuperset(identity) else ""


def relative_uri(path: str) -> str:
    """A path inside the image as a relative URI reference (RFC 3986)."""
    from urllib.parse import quote  # slow to import, and a plain scan does not need it

    return quote(path.lstrip("/"), safe="/", errors="backslashreplace")


def image_purl(reference: str, digest: str, platform: str = "") -> str:
    """The package URL of an image, of the type "oci" (purl-spec, types/oci-definition)."""
    place = reference.partition("@")[0]
    scheme, colon, rest = place.partition(":")
    named = bool(colon) and scheme in ("oci", "oci-archive", "docker-archive")
    local = named or place.startswith((".", "/"))
    place = rest if named else place
    folder, slash, name = place.rstrip("/").rpartition("/")
    name = name.partition(":")[0]
    qualifiers = {"arch": platform.partition("/")[2]}
    if slash and not local:
        qualifiers["repository_url"] = f"{folder}/{name}"
    return purl.write("oci", "", name.lower() or "image", digest, qualifiers)
