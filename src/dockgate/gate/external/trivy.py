"""Trivy's JSON (`trivy image --format json`), schema version 2.

Source: pkg/types/report.go and vulnerability.go of Trivy.
"""

from dataclasses import replace
from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import digest, mapping, mappings, number, severity, text, texts, timestamp
from dockgate.gate.external._report import (
    EPSS_FIELDS,
    KEV_FIELDS,
    ReportBuilder,
    full_version,
    image_digest,
    layer_digests,
    lowest_fix,
    make_distribution,
    make_finding,
    make_package,
    make_platform,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Package
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import FIX_UNKNOWN, Finding, Rating

_SCHEMA = 2
_PACKAGE_CLASSES = ("os-pkgs", "lang-pkgs")  # classes of results with packages
# Trivy's status of a finding (pkg/types/status.go in trivy-db) -> our note. With any other the fix is unknown.
_NOTES = {"affected": "", "will_not_fix": "wont-fix", "fix_deferred": "no-dsa", "end_of_life": "end-of-life"}
_ADVISORIES = ("ghsa", "glad", "osv", "govulndb", "ruby-advisory-db", "php-security-advisories", "nodejs-security-wg")


class Trivy(Format):
    """Trivy's JSON, schema 2."""

    name = "trivy"
    title = "Trivy JSON"
    version = 2

    @override
    def recognises(self, document: Any) -> bool:
        return isinstance(document, dict) and "SchemaVersion" in document and "ArtifactType" in document

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        if document["SchemaVersion"] != _SCHEMA:
            schema = text(str(document["SchemaVersion"]))
            raise UsageError(f"Trivy's schema {schema} is not supported; supported: {_SCHEMA}.")
        if (kind := document["ArtifactType"]) != "container_image":
            raise UsageError(f"the document is about a {text(kind)}, not an image", "Use `trivy image`.")
        metadata = mapping(document.get("Metadata"))
        system, config = mapping(metadata.get("OS")), mapping(metadata.get("ImageConfig"))
        report = ReportBuilder(
            source=self.name,
            image=image_digest(map(digest, texts(metadata.get("RepoDigests"))), context),
            at=timestamp(document.get("CreatedAt")),
            platform=make_platform(config.get("os"), config.get("architecture"), config.get("variant")),
            distribution=make_distribution(system.get("Family"), system.get("Name")),
            layers=layer_digests(metadata.get("Layers"), "Layers", "Digest"),
            created=timestamp(config.get("created")),
            user=text(mapping(config.get("config")).get("User")) or None,
            missing_fields={*KEV_FIELDS, *EPSS_FIELDS, "fixed_at"},
        )
        results = mappings(document.get("Results"), "Results")
        if not any(result.get("Class") in _PACKAGE_CLASSES for result in results):
            reason = "Trivy reports no packages: it may not have scanned for vulnerabilities."
            report.add_undetermined(reason, kind="unread")
        for index, result in enumerate(results):
            _add_result(result, f"Results[{index}]", report, context)
        return (report.build(),)


FORMAT: Format = Trivy()


def _add_result(result: dict[str, Any], location: str, report: ReportBuilder, context: ReadContext) -> None:
    """Add packages and findings, with those that Trivy was configured to ignore."""
    target = text(result.get("Target")) if result.get("Class") == "lang-pkgs" else ""
    packages: dict[str, Package] = {}
    for entry in mappings(result.get("Packages"), f"{location}.Packages"):
        identifier = mapping(entry.get("Identifier"))
        package = _package(text(entry.get("Name")), _version(entry), identifier, entry, target, report, context)
        packages[text(identifier.get("UID"))] = package
        report.packages.append(package)
    findings = mappings(result.get("Vulnerabilities"), f"{location}.Vulnerabilities")
    for modified_finding in mappings(
        result.get("ExperimentalModifiedFindings"), f"{location}.ExperimentalModifiedFindings"
    ):
        if modified_finding.get("Type") == "vulnerability":
            findings = [*findings, mapping(modified_finding.get("Finding"))]
    for index, finding in enumerate(findings):
        if not text(finding.get("VulnerabilityID")):
            raise UsageError(f"{location}: the finding {index} has no VulnerabilityID.")
        identifier = mapping(finding.get("PkgIdentifier"))
        version = text(finding.get("InstalledVersion"))
        package = packages.get(text(identifier.get("UID"))) or _package(
            text(finding.get("PkgName")), version, identifier, finding, target, report, context
        )
        report.findings.append(_finding(finding, package, context))


def _package(
    name: str,
    version: str,
    identifier: dict[str, Any],
    entry: dict[str, Any],
    target: str,
    report: ReportBuilder,
    context: ReadContext,
) -> Package:
    """The package at PkgPath (of a finding) or FilePath (of a package), else in the target.

    The target is a lockfile then.
    """
    purl = text(identifier.get("PURL"))
    path = text(entry.get("PkgPath")) or text(entry.get("FilePath")) or (target if "/" in target else "")
    layer = digest(mapping(entry.get("Layer")).get("Digest"))
    source = text(entry.get("SrcName")), _version(entry, "Src")
    package = make_package(context, name, version, purl, report.distribution, source)
    return replace(package, path=path.lstrip("/"), layer=layer or None)


def _version(package: dict[str, Any], prefix: str = "") -> str:
    """The version from Epoch, Version and Release; with the prefix "Src" that of the source package."""
    return full_version(package.get(f"{prefix}Epoch"), package.get(f"{prefix}Version"), package.get(f"{prefix}Release"))


def _finding(finding: dict[str, Any], package: Package, context: ReadContext) -> Finding:
    versions = [part.strip() for part in text(finding.get("FixedVersion")).split(",") if part.strip()]
    return make_finding(
        (text(finding.get("VulnerabilityID")), *texts(finding.get("VendorIDs"))),
        package,
        _rating(finding),
        lowest_fix(context, package, versions),
        note=_NOTES.get(text(finding.get("Status")), FIX_UNKNOWN),
        published=timestamp(finding.get("PublishedDate")),
        summary=text(finding.get("Title")),
    )


def _rating(finding: dict[str, Any]) -> Rating:
    """The severity, with the score of its source, else of NVD."""
    name = text(finding.get("SeveritySource"))
    source = "advisory" if name in _ADVISORIES else "distribution" if name else "trivy"
    rating = Rating("cve" if name == "nvd" else source, severity(finding.get("Severity")))
    by_source = mapping(finding.get("CVSS"))
    scores = mapping(by_source.get(name)) or mapping(by_source.get("nvd"))
    for version in ("V40", "V3", "V2"):
        score = number(scores.get(f"{version}Score"), 10)
        if score is not None:
            return replace(rating, score=score, vector=text(scores.get(f"{version}Vector")) or None)
    return rating
