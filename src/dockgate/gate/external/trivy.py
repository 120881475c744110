"""Trivy's JSON (`trivy image --format json`), schema version 2: pkg/types/report.go and vulnerability.go of Trivy."""

from dataclasses import replace
from typing import Any

from dockgate.gate.external import Asked, Format
from dockgate.gate.external._read import (
    EXPLOITED,
    PREDICTED,
    Report,
    digest,
    found,
    image_of,
    lowest_fix,
    moment,
    number,
    objects,
    package_of,
    platform_of,
    severity,
    table,
    text,
    texts,
    whole_version,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.osrelease import os_id
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import FIX_NOT_TOLD, Finding, Rating

_SCHEMA = 2
_SCANNED = ("os-pkgs", "lang-pkgs")
"""classes of results that tell of packages"""
_NOTES = {
    "affected": "",
    "will_not_fix": "wont-fix",
    "fix_deferred": "no-dsa",
    "end_of_life": "end-of-life",
}
"""Trivy's status of a finding (pkg/types/status.go in trivy-db) -> our note; any other does not tell of fixes"""
_ADVISORIES = ("ghsa", "glad", "osv", "govulndb", "ruby-advisory-db", "php-security-advisories", "nodejs-security-wg")


class Trivy:
    name = "trivy"
    title = "Trivy JSON"
    version = 1

    def recognises(self, document: Any) -> bool:
        return isinstance(document, dict) and "SchemaVersion" in document and "ArtifactType" in document

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        if document["SchemaVersion"] != _SCHEMA:
            raise UsageError(f"It is of Trivy's schema {text(str(document['SchemaVersion']))}; read is {_SCHEMA}.")
        if document["ArtifactType"] != "container_image":
            raise UsageError(f"It is of a {text(document['ArtifactType'])}, not of an image.", "Use `trivy image`.")
        told = table(document.get("Metadata"))
        system, config = table(told.get("OS")), table(told.get("ImageConfig"))
        report = Report(
            source=self.name,
            image=image_of(map(digest, texts(told.get("RepoDigests"))), asked),
            at=moment(document.get("CreatedAt")),
            platform=platform_of(config.get("os"), config.get("architecture"), config.get("variant")),
            distribution=_distribution(system),
            layers=tuple(filter(None, (digest(one.get("Digest")) for one in objects(told.get("Layers"), "Layers")))),
            created=moment(config.get("created")),
            user=text(table(config.get("config")).get("User")),
            missing_fields={*EXPLOITED, *PREDICTED, "fixed_at"},
        )
        results = objects(document.get("Results"), "Results")
        if not any(one.get("Class") in _SCANNED for one in results):
            reason = "Trivy names no packages that it looked at: was it told to scan for vulnerabilities?"
            report.doubt(reason, kind="unread")
        for index, result in enumerate(results):
            _take(result, f"Results[{index}]", report, asked)
        return (report.reported(),)


FORMAT: Format = Trivy()


def _distribution(system: dict[str, Any]) -> Distribution | None:
    family, release = text(system.get("Family")), text(system.get("Name"))
    return Distribution(os_id(family), release) if family and family != "none" else None


def _take(result: dict[str, Any], where: str, report: Report, asked: Asked) -> None:
    """Findings that Trivy was told to ignore are among them: see the package's own words."""
    target = text(result.get("Target")) if result.get("Class") == "lang-pkgs" else ""
    known: dict[str, Package] = {}
    for one in objects(result.get("Packages"), f"{where}.Packages"):
        identifier = table(one.get("Identifier"))
        package = _package(text(one.get("Name")), _version(one), identifier, one, target, report, asked)
        known[text(identifier.get("UID"))] = package
        report.packages.append(package)
    given = objects(result.get("Vulnerabilities"), f"{where}.Vulnerabilities")
    for changed in objects(result.get("ExperimentalModifiedFindings"), f"{where}.ExperimentalModifiedFindings"):
        if changed.get("Type") == "vulnerability":
            given = [*given, table(changed.get("Finding"))]
    for index, one in enumerate(given):
        if not text(one.get("VulnerabilityID")):
            raise UsageError(f"{where}: the finding {index} has no VulnerabilityID.")
        identifier = table(one.get("PkgIdentifier"))
        version = text(one.get("InstalledVersion"))
        package = known.get(text(identifier.get("UID"))) or _package(
            text(one.get("PkgName")), version, identifier, one, target, report, asked
        )
        report.findings.append(_finding(one, package, asked))


def _package(
    name: str, version: str, identifier: dict[str, Any], told: dict[str, Any], target: str, report: Report, asked: Asked
) -> Package:
    """`told` says where: PkgPath (of a finding) or FilePath (of a package), else the target is a lockfile."""
    purl = text(identifier.get("PURL"))
    path = text(told.get("PkgPath")) or text(told.get("FilePath")) or (target if "/" in target else "")
    layer = digest(table(told.get("Layer")).get("Digest"))
    source = text(told.get("SrcName")), _version(told, "Src")
    package = package_of(asked, name, version, purl, report.distribution, source)
    return replace(package, path=path.lstrip("/"), layer=layer)


def _version(package: dict[str, Any], of: str = "") -> str:
    """Of a distribution's package epoch, version and release stand apart."""
    return whole_version(package.get(f"{of}Epoch"), package.get(f"{of}Version"), package.get(f"{of}Release"))


def _finding(one: dict[str, Any], package: Package, asked: Asked) -> Finding:
    versions = [part.strip() for part in text(one.get("FixedVersion")).split(",") if part.strip()]
    return found(
        (text(one.get("VulnerabilityID")), *texts(one.get("VendorIDs"))),
        package,
        _rating(one),
        lowest_fix(asked, package, versions),
        note=_NOTES.get(text(one.get("Status")), FIX_NOT_TOLD),
        published=moment(one.get("PublishedDate")),
        summary=text(one.get("Title")),
    )


def _rating(one: dict[str, Any]) -> Rating:
    """The score is that of the source which gave the severity, else the record's own."""
    source = text(one.get("SeveritySource"))
    by_source = table(one.get("CVSS"))
    scored = table(by_source.get(source)) or table(by_source.get("nvd"))
    for version in ("V40", "V3", "V2"):
        score = number(scored.get(f"{version}Score"), 10)
        if score >= 0:
            return Rating(_who(source), severity(one.get("Severity")), score, text(scored.get(f"{version}Vector")))
    return Rating(_who(source), severity(one.get("Severity")))


def _who(source: str) -> str:
    if source == "nvd":
        return "cve"
    return "advisory" if source in _ADVISORIES else "distribution" if source else "trivy"
