"""Grype's JSON (`grype -o json`): grype/presenter/models of Grype."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    SUMMARY_LIMIT,
    read_day,
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

# Grype's fix state -> our note. With any other ("unknown", "fixed" without a version) the fix is unknown.
_NOTES = {"not-fixed": "", "wont-fix": "wont-fix"}


class Grype(Format):
    """Grype's JSON."""

    name = "grype"
    title = "Grype JSON"
    version = 2

    @override
    def can_read(self, document: Any) -> bool:
        return (
            isinstance(document, dict)
            and isinstance(document.get("matches"), list)
            and read_mapping(document.get("descriptor")).get("name") == "grype"
        )

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        source = read_mapping(document.get("source"))
        if source.get("type") != "image":
            kind = read_text(source.get("type")) or "unknown"
            raise UsageError(f"the document is about a source of type {kind}", "Scan an image.")
        target = read_mapping(source.get("target"))
        manifest, repo_digests = (
            read_digest(target.get("manifestDigest")),
            map(read_digest, read_texts(target.get("repoDigests"))),
        )
        distro = read_mapping(document.get("distro"))
        matches = read_mappings(document["matches"], "matches")
        report = ReportBuilder(
            source=self.name,
            image=require_image_digest((manifest, *repo_digests), context),
            at=read_timestamp(read_mapping(document.get("descriptor")).get("timestamp")),
            platform=make_platform(target.get("os"), target.get("architecture"), target.get("variant")),
            distribution=make_distribution(distro.get("name"), distro.get("version")),
            layers=read_layer_digests(target.get("layers"), "layers", "digest"),
            missing_fields={"fixed_at", "published", *_list_unreported_fields(matches)},
        )
        if manifest and report.image != manifest:
            reason = f"Grype scanned only the manifest {manifest}: {report.image} may be an index with others."
            report.add_undetermined(reason, kind="uncovered")
        for index, match in enumerate((*matches, *_select_ignored_matches(document))):
            report.findings.append(_read_finding(match, f"matches[{index}]", report, context))
        return (report.build(),)


FORMAT: Format = Grype()


def _list_unreported_fields(matches: list[dict[str, Any]]) -> Iterator[str]:
    """The fields that releases before 0.93 never write."""
    keys = {key for match in matches for key in read_mapping(match.get("vulnerability"))}
    if "knownExploited" not in keys and "risk" not in keys:
        yield from KEV_FIELDS
    if "epss" not in keys:
        yield from EPSS_FIELDS


def _select_ignored_matches(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Matches that a user configured Grype to ignore. Grype's own rules have a reason or a match type."""
    for index, match in enumerate(read_mappings(document.get("ignoredMatches"), "ignoredMatches")):
        rules = read_mappings(match.get("appliedIgnoreRules"), f"ignoredMatches[{index}].appliedIgnoreRules")
        if not rules or not all(rule.get("match-type") or rule.get("reason") for rule in rules):
            yield match


def _read_finding(match: dict[str, Any], location: str, report: ReportBuilder, context: ReadContext) -> Finding:
    vulnerability, artifact = read_mapping(match.get("vulnerability")), read_mapping(match.get("artifact"))
    identity = read_text(vulnerability.get("id"))
    if not identity:
        raise UsageError(f"{location} has no vulnerability.id")
    package = _read_package(artifact, location, report, context)
    fix = read_mapping(vulnerability.get("fix"))
    related_names = [
        read_text(entry.get("id"))
        for entry in read_mappings(match.get("relatedVulnerabilities"), f"{location}.related")
    ]
    exploited_entries = read_mappings(vulnerability.get("knownExploited"), f"{location}.knownExploited")[:1]
    scores = read_mappings(vulnerability.get("epss"), f"{location}.epss")[:1]
    return make_finding(
        (identity, *related_names),
        package,
        _read_rating(vulnerability, location),
        select_lowest_fix(context, package, read_texts(fix.get("versions"))),
        note=_NOTES.get(read_text(fix.get("state")), FIX_UNKNOWN),
        exploited=next((read_day(entry.get("dateAdded")) or "unknown" for entry in exploited_entries), None),
        due=next((read_day(entry.get("dueDate")) for entry in exploited_entries), None),
        epss=next((read_number(entry.get("epss"), 1) for entry in scores), None),
        percentile=next((read_number(entry.get("percentile"), 1) for entry in scores), None),
        summary=read_text(vulnerability.get("description"))[:SUMMARY_LIMIT],
    )


def _read_package(artifact: dict[str, Any], location: str, report: ReportBuilder, context: ReadContext) -> Package:
    purl, version = read_text(artifact.get("purl")), read_text(artifact.get("version"))
    locations = read_mappings(artifact.get("locations"), f"{location}.locations")
    path = next((read_text(entry.get("path")) for entry in locations), "")
    layer = next((read_digest(entry.get("layerID")) for entry in locations), None)
    package = make_package(context, read_text(artifact.get("name")), version, purl, report.distribution)
    return replace(package, path=path.lstrip("/"), layer=layer)


def _read_rating(vulnerability: dict[str, Any], location: str) -> Rating:
    scores = read_mappings(vulnerability.get("cvss"), f"{location}.cvss")
    best_score = max(scores, key=lambda score: read_text(score.get("version")), default={})
    namespace = read_text(vulnerability.get("namespace"))
    source = "cve" if namespace.startswith("nvd") else "advisory" if ":language:" in namespace else "distribution"
    score = read_number(read_mapping(best_score.get("metrics")).get("baseScore"), 10)
    source = source if namespace else "grype"
    return Rating(
        source, read_severity(vulnerability.get("severity")), score, read_text(best_score.get("vector")) or None
    )
