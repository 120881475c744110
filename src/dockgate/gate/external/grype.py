"""Grype's JSON (`grype -o json`): grype/presenter/models of Grype."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    SUMMARY_LIMIT,
    day,
    digest,
    mapping,
    mappings,
    number,
    severity,
    text,
    texts,
    timestamp,
)
from dockgate.gate.external._report import (
    EPSS_FIELDS,
    KEV_FIELDS,
    ReportBuilder,
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

# Grype's fix state -> our note. With any other ("unknown", "fixed" without a version) the fix is unknown.
_NOTES = {"not-fixed": "", "wont-fix": "wont-fix"}


class Grype(Format):
    """Grype's JSON."""

    name = "grype"
    title = "Grype JSON"
    version = 2

    @override
    def recognises(self, document: Any) -> bool:
        return (
            isinstance(document, dict)
            and isinstance(document.get("matches"), list)
            and mapping(document.get("descriptor")).get("name") == "grype"
        )

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        source = mapping(document.get("source"))
        if source.get("type") != "image":
            kind = text(source.get("type")) or "unknown"
            raise UsageError(f"the document is about a source of type {kind}", "Scan an image.")
        target = mapping(source.get("target"))
        manifest, repo_digests = digest(target.get("manifestDigest")), map(digest, texts(target.get("repoDigests")))
        distro = mapping(document.get("distro"))
        matches = mappings(document["matches"], "matches")
        report = ReportBuilder(
            source=self.name,
            image=image_digest((manifest, *repo_digests), context),
            at=timestamp(mapping(document.get("descriptor")).get("timestamp")),
            platform=make_platform(target.get("os"), target.get("architecture"), target.get("variant")),
            distribution=make_distribution(distro.get("name"), distro.get("version")),
            layers=layer_digests(target.get("layers"), "layers", "digest"),
            missing_fields={"fixed_at", "published", *_unreported_fields(matches)},
        )
        if manifest and report.image != manifest:
            reason = f"Grype scanned only the manifest {manifest}: {report.image} may be an index with others."
            report.add_undetermined(reason, kind="uncovered")
        for index, match in enumerate((*matches, *_ignored_matches(document))):
            report.findings.append(_finding(match, f"matches[{index}]", report, context))
        return (report.build(),)


FORMAT: Format = Grype()


def _unreported_fields(matches: list[dict[str, Any]]) -> Iterator[str]:
    """The fields that releases before 0.93 never write."""
    keys = {key for match in matches for key in mapping(match.get("vulnerability"))}
    if "knownExploited" not in keys and "risk" not in keys:
        yield from KEV_FIELDS
    if "epss" not in keys:
        yield from EPSS_FIELDS


def _ignored_matches(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Matches that a user configured Grype to ignore. Grype's own rules have a reason or a match type."""
    for index, match in enumerate(mappings(document.get("ignoredMatches"), "ignoredMatches")):
        rules = mappings(match.get("appliedIgnoreRules"), f"ignoredMatches[{index}].appliedIgnoreRules")
        if not rules or not all(rule.get("match-type") or rule.get("reason") for rule in rules):
            yield match


def _finding(match: dict[str, Any], location: str, report: ReportBuilder, context: ReadContext) -> Finding:
    vulnerability, artifact = mapping(match.get("vulnerability")), mapping(match.get("artifact"))
    identity = text(vulnerability.get("id"))
    if not identity:
        raise UsageError(f"{location} has no vulnerability.id.")
    package = _package(artifact, location, report, context)
    fix = mapping(vulnerability.get("fix"))
    related_names = [
        text(entry.get("id")) for entry in mappings(match.get("relatedVulnerabilities"), f"{location}.related")
    ]
    exploited_entries = mappings(vulnerability.get("knownExploited"), f"{location}.knownExploited")[:1]
    scores = mappings(vulnerability.get("epss"), f"{location}.epss")[:1]
    return make_finding(
        (identity, *related_names),
        package,
        _rating(vulnerability, location),
        lowest_fix(context, package, texts(fix.get("versions"))),
        note=_NOTES.get(text(fix.get("state")), FIX_UNKNOWN),
        exploited=next((day(entry.get("dateAdded")) or "unknown" for entry in exploited_entries), None),
        due=next((day(entry.get("dueDate")) for entry in exploited_entries), None),
        epss=next((number(entry.get("epss"), 1) for entry in scores), None),
        percentile=next((number(entry.get("percentile"), 1) for entry in scores), None),
        summary=text(vulnerability.get("description"))[:SUMMARY_LIMIT],
    )


def _package(artifact: dict[str, Any], location: str, report: ReportBuilder, context: ReadContext) -> Package:
    purl, version = text(artifact.get("purl")), text(artifact.get("version"))
    places = mappings(artifact.get("locations"), f"{location}.locations")
    path = next((text(place.get("path")) for place in places), "")
    layer = next((digest(place.get("layerID")) for place in places), "")
    package = make_package(context, text(artifact.get("name")), version, purl, report.distribution)
    return replace(package, path=path.lstrip("/"), layer=layer or None)


def _rating(vulnerability: dict[str, Any], location: str) -> Rating:
    scores = mappings(vulnerability.get("cvss"), f"{location}.cvss")
    best_score = max(scores, key=lambda score: text(score.get("version")), default={})
    namespace = text(vulnerability.get("namespace"))
    source = "cve" if namespace.startswith("nvd") else "advisory" if ":language:" in namespace else "distribution"
    score = number(mapping(best_score.get("metrics")).get("baseScore"), 10)
    source = source if namespace else "grype"
    return Rating(source, severity(vulnerability.get("severity")), score, text(best_score.get("vector")) or None)
