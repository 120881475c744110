"""Trivy's JSON (`trivy image --format json`), schema version 2.

Source: pkg/types/report.go and vulnerability.go of Trivy.
"""

from dataclasses import replace
from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    read_digest,
    read_mapping,
    read_mappings,
    read_number,
    read_severity,
    read_text,
    read_texts,
    read_timestamp,
)
from dockgate.gate.external._report import (
    EPSS_FIELDS,
    KEV_FIELDS,
    ReportBuilder,
    format_full_version,
    make_distribution,
    make_finding,
    make_package,
    make_platform,
    read_layer_digests,
    require_image_digest,
    select_lowest_fix,
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
    def can_read(self, document: Any) -> bool:
        return isinstance(document, dict) and "SchemaVersion" in document and "ArtifactType" in document

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        if document["SchemaVersion"] != _SCHEMA:
            schema = read_text(str(document["SchemaVersion"]))
            raise UsageError(f"Trivy's schema {schema} is not supported; supported: {_SCHEMA}")
        if (kind := document["ArtifactType"]) != "container_image":
            raise UsageError(f"the document is about a {read_text(kind)}, not an image", "Use `trivy image`.")
        metadata = read_mapping(document.get("Metadata"))
        system, config = read_mapping(metadata.get("OS")), read_mapping(metadata.get("ImageConfig"))
        report = ReportBuilder(
            source=self.name,
            image=require_image_digest(map(read_digest, read_texts(metadata.get("RepoDigests"))), context),
            at=read_timestamp(document.get("CreatedAt")),
            platform=make_platform(config.get("os"), config.get("architecture"), config.get("variant")),
            distribution=make_distribution(system.get("Family"), system.get("Name")),
            layers=read_layer_digests(metadata.get("Layers"), "Layers", "Digest"),
            created=read_timestamp(config.get("created")),
            user=read_text(read_mapping(config.get("config")).get("User")) or None,
            missing_fields={*KEV_FIELDS, *EPSS_FIELDS, "fixed_at"},
        )
        results = read_mappings(document.get("Results"), "Results")
        if not any(result.get("Class") in _PACKAGE_CLASSES for result in results):
            reason = "Trivy reports no packages: it may not have scanned for vulnerabilities."
            report.add_undetermined(reason, kind="unread")
        for index, result in enumerate(results):
            _add_result(result, f"Results[{index}]", report, context)
        return (report.build(),)


FORMAT: Format = Trivy()


def _add_result(result: dict[str, Any], location: str, report: ReportBuilder, context: ReadContext) -> None:
    """Add packages and findings, with those that Trivy was configured to ignore."""
    target = read_text(result.get("Target")) if result.get("Class") == "lang-pkgs" else ""
    packages: dict[str, Package] = {}
    for entry in read_mappings(result.get("Packages"), f"{location}.Packages"):
        identifier = read_mapping(entry.get("Identifier"))
        package = _read_package(
            read_text(entry.get("Name")), _read_version(entry), identifier, entry, target, report, context
        )
        packages[read_text(identifier.get("UID"))] = package
        report.packages.append(package)
    findings = read_mappings(result.get("Vulnerabilities"), f"{location}.Vulnerabilities")
    for modified_finding in read_mappings(
        result.get("ExperimentalModifiedFindings"), f"{location}.ExperimentalModifiedFindings"
    ):
        if modified_finding.get("Type") == "vulnerability":
            findings = [*findings, read_mapping(modified_finding.get("Finding"))]
    for index, finding in enumerate(findings):
        if not read_text(finding.get("VulnerabilityID")):
            raise UsageError(f"{location}: the finding {index} has no VulnerabilityID")
        identifier = read_mapping(finding.get("PkgIdentifier"))
        version = read_text(finding.get("InstalledVersion"))
        package = packages.get(read_text(identifier.get("UID"))) or _read_package(
            read_text(finding.get("PkgName")), version, identifier, finding, target, report, context
        )
        report.findings.append(_read_finding(finding, package, context))


def _read_package(
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
    purl = read_text(identifier.get("PURL"))
    path = read_text(entry.get("PkgPath")) or read_text(entry.get("FilePath")) or (target if "/" in target else "")
    layer = read_digest(read_mapping(entry.get("Layer")).get("Digest"))
    source_name = read_text(entry.get("SrcName"))
    source = (source_name, _read_version(entry, "Src") or None) if source_name else None
    package = make_package(context, name, version, purl, report.distribution, source)
    return replace(package, path=path.lstrip("/"), layer=layer)


def _read_version(package: dict[str, Any], prefix: str = "") -> str:
    """The version from Epoch, Version and Release; with the prefix "Src" that of the source package."""
    return format_full_version(
        package.get(f"{prefix}Epoch"), package.get(f"{prefix}Version"), package.get(f"{prefix}Release")
    )


def _read_finding(finding: dict[str, Any], package: Package, context: ReadContext) -> Finding:
    versions = [part.strip() for part in read_text(finding.get("FixedVersion")).split(",") if part.strip()]
    return make_finding(
        (read_text(finding.get("VulnerabilityID")), *read_texts(finding.get("VendorIDs"))),
        package,
        _read_rating(finding),
        select_lowest_fix(context, package, versions),
        note=_NOTES.get(read_text(finding.get("Status")), FIX_UNKNOWN),
        published=read_timestamp(finding.get("PublishedDate")),
        summary=read_text(finding.get("Title")),
    )


def _read_rating(finding: dict[str, Any]) -> Rating:
    """The severity, with the score of its source, else of NVD."""
    name = read_text(finding.get("SeveritySource"))
    source = "advisory" if name in _ADVISORIES else "distribution" if name else "trivy"
    rating = Rating("cve" if name == "nvd" else source, read_severity(finding.get("Severity")))
    by_source = read_mapping(finding.get("CVSS"))
    scores = read_mapping(by_source.get(name)) or read_mapping(by_source.get("nvd"))
    for version in ("V40", "V3", "V2"):
        score = read_number(scores.get(f"{version}Score"), 10)
        if score is not None:
            return replace(rating, score=score, vector=read_text(scores.get(f"{version}Vector")) or None)
    return rating
