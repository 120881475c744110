"""The three kinds of report seen the same way: platform by platform, as most formats want them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockgate import __version__
from dockgate.reports import GateReport, InventoryReport, ScanReport
from dockgate.scanner.model import Inventory, Package
from dockgate.shared import purl
from dockgate.vulnerabilities.model import Finding, Undetermined

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver, PlatformVerdict, Verdict, Violation

TOOL = "Dockgate"
VERSION = __version__
NO_TIME = "1970-01-01T00:00:00Z"

_LINKED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:_")


@dataclass(frozen=True, slots=True)
class Part:
    """One platform. `judgement` only of a verdict; `inventory` is None where it is not at hand.

    `doubts` are what cannot be said: of a scan also what could not be read, of a verdict what its policy left.
    """

    platform: str
    manifest: str
    inventory: Inventory | None
    findings: tuple[Finding, ...]
    doubts: tuple[Undetermined, ...]
    platform_verdict: "PlatformVerdict | None" = None

    @property
    def label(self) -> str:
        """The platform, and who scanned it if that was another."""
        return self.platform_verdict.label if self.platform_verdict else self.platform

    @property
    def packages(self) -> tuple[Package, ...]:
        """Those of the inventory; without one, those that have findings."""
        if self.inventory:
            return self.inventory.packages
        return tuple(sorted({finding.package for finding in self.findings}, key=lambda one: (one.purl, one.path)))

    @property
    def breaking(self) -> dict[Finding, tuple[str, ...]]:
        """The findings that break a rule, each with the rules."""
        rules: dict[Finding, tuple[str, ...]] = {}
        for violation in self.platform_verdict.violations if self.platform_verdict else ():
            for finding in violation.findings:
                rules[finding] = (*rules.get(finding, ()), violation.rule)
        return rules

    @property
    def asides(self) -> "tuple[tuple[str, tuple[Violation, ...]], ...]":
        """What rules say that do not reject, as far as there is any: ("warning", …) and ("note", …)."""
        held = self.platform_verdict
        told = (("warning", held.warnings), ("note", held.notes)) if held else ()
        return tuple((word, violations) for word, violations in told if violations)

    @property
    def waived(self) -> "dict[Finding, AppliedWaiver]":
        """The findings that do not count, each with what accepts or excuses it."""
        said = self.platform_verdict.waived if self.platform_verdict else ()
        return {one.finding: one for one in said if one.finding}

    @property
    def accepted(self) -> "tuple[AppliedWaiver, ...]":
        """Violations without findings that were accepted."""
        return tuple(one for one in self.platform_verdict.waived if not one.finding) if self.platform_verdict else ()

    def in_base(self, package: Package) -> bool | None:
        """Whether the base image brought it; None where nothing tells where the base image ends."""
        if self.inventory is None or not self.inventory.base_layers:
            return None
        return self.inventory.in_base(package)


@dataclass(frozen=True, slots=True)
class Whole:
    """A report: what it is of, when it was made, and its parts."""

    reference: str
    digest: str
    now: str
    parts: tuple[Part, ...]
    verdict: "Verdict | None" = None

    @property
    def of_one(self) -> bool:
        """Whether it is of one manifest, and not of an index."""
        return len(self.parts) == 1 and self.parts[0].manifest == self.digest


def whole(report: ScanReport | GateReport | InventoryReport) -> Whole:
    if isinstance(report, GateReport):
        held = {(one.platform, one.image): one for one in report.inventories}
        parts = tuple(_judged(one, held) for one in report.verdict.platform_verdicts)
        verdict = report.verdict
        return Whole(report.reference, verdict.image, verdict.inputs.now or NO_TIME, parts, verdict)
    if isinstance(report, ScanReport):
        parts = tuple(
            Part(one.platform, one.image, one, matches.findings, (*_unread(one), *matches.undetermined))
            for one, matches in report.platforms
        )
    else:
        parts = tuple(Part(one.platform, one.image, one, (), _unread(one)) for one in report.inventories)
    return Whole(report.reference, report.digest, report.now or NO_TIME, parts)


def _judged(one: "PlatformVerdict", held: Mapping[tuple[str, str], Inventory]) -> Part:
    """What another scanner found stands for itself: its packages are not those of the inventory."""
    inventory = None if one.source else held.get((one.platform, one.image))
    return Part(one.platform, one.image, inventory, one.findings, one.undetermined, one)


def _unread(inventory: Inventory) -> tuple[Undetermined, ...]:
    return tuple(Undetermined(entry.path, entry.reason, "unread") for entry in inventory.unread)


def remediation(finding: Finding) -> str:
    """What to do about it, as a sentence."""
    package = finding.package
    if finding.malicious:
        return f"Remove {package.name} {package.version}: it is malicious."
    if finding.fixed:
        return f"Upgrade {package.source_name} to {finding.fixed} or later."
    return {
        "end of life": f"{package.source_name} is past its end of life and gets no fix: move to a release that does.",
        "not told": f"Whether there is a fixed version of {package.source_name} is not told.",
        "won't fix": f"Its maintainers do not intend to fix {package.source_name} {package.source_version} for now.",
    }.get(finding.state.value, f"There is no fixed version of {package.source_name} yet.")


def waiver(one: "AppliedWaiver") -> str:
    """By whose word something does not count, why, and for how long; a sentence."""
    if one.kind == "vex":
        return f"{one.owner} says {one.reason.rstrip('.')} (VEX {one.by})."
    until = f" until {one.until}" if one.until else " until it is fixed"
    return f"Accepted by {one.owner}{until}: {one.reason.rstrip('.')} (waiver {one.by})."


def vex_status(one: "AppliedWaiver | None") -> str:
    """ "not_affected" or "fixed" for what a VEX statement excuses; "" for all else."""
    if one is None or one.kind != "vex":
        return ""
    return "fixed" if one.reason.startswith("fixed") else "not_affected"


def sentence(finding: Finding) -> str:
    """ "openssl 3.5.1-1 is affected by CVE-2025-0001: <summary>"."""
    package = finding.package
    summary = f": {finding.summary.strip()}" if finding.summary.strip() else ""
    return f"{package.name} {package.version} is affected by {finding.id}{summary}"


def link(identity: str) -> str:
    """Where one reads about a vulnerability: osv.dev knows every id that a feed here has. "" for a malformed id."""
    return f"https://osv.dev/vulnerability/{identity}" if identity and _LINKED.issuperset(identity) else ""


def uri(path: str) -> str:
    """A path inside the image as a relative URI reference (RFC 3986)."""
    from urllib.parse import quote  # which loads much, and for a scan alone is not loaded

    return quote(path.lstrip("/"), safe="/", errors="backslashreplace")


def image_purl(reference: str, digest: str, platform: str = "") -> str:
    """The image as a package URL of the type "oci", by purl-spec's definition of that type."""
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
