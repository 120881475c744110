"""Grype's JSON (`grype -o json`): grype/presenter/models of Grype."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dockgate.gate.external import Asked, Format
from dockgate.gate.external._read import (
    EXPLOITED,
    PREDICTED,
    SUMMARY_LIMIT,
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
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.osrelease import os_id
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import FIX_NOT_TOLD, Finding, Rating

_NOTES = {"not-fixed": "", "wont-fix": "wont-fix"}
"""Grype's state of a fix -> our note; any other ("unknown", "fixed" without a version) does not tell"""


class Grype:
    name = "grype"
    title = "Grype JSON"
    version = 1

    def recognises(self, document: Any) -> bool:
        return (
            isinstance(document, dict)
            and isinstance(document.get("matches"), list)
            and table(document.get("descriptor")).get("name") == "grype"
        )

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        source = table(document.get("source"))
        if source.get("type") != "image":
            raise UsageError(f"It is of a {text(source.get('type')) or 'thing'} that is no image.", "Scan an image.")
        target = table(source.get("target"))
        manifest, named = digest(target.get("manifestDigest")), [*map(digest, texts(target.get("repoDigests")))]
        system = table(document.get("distro"))
        family = text(system.get("name"))
        matches = objects(document["matches"], "matches")
        report = Report(
            source=self.name,
            image=image_of((manifest, *named), asked),
            at=moment(table(document.get("descriptor")).get("timestamp")),
            platform=platform_of(target.get("os"), target.get("architecture"), target.get("variant")),
            distribution=Distribution(os_id(family), text(system.get("version"))) if family else None,
            layers=tuple(filter(None, (digest(one.get("digest")) for one in objects(target.get("layers"), "layers")))),
            missing_fields={"fixed_at", "published", *_untold(matches)},
        )
        if manifest and report.image != manifest:
            reason = f"Grype looked at the manifest {manifest} alone: {report.image} may be an index with others."
            report.doubt(reason, kind="uncovered")
        for index, match in enumerate((*matches, *_ignored(document))):
            report.findings.append(_finding(match, f"matches[{index}]", report, asked))
        return (report.reported(),)


FORMAT: Format = Grype()


def _untold(matches: list[dict[str, Any]]) -> Iterator[str]:
    """What releases of Grype before 0.93 do not know of: they never write these keys."""
    told = {key for match in matches for key in table(match.get("vulnerability"))}
    if "knownExploited" not in told and "risk" not in told:
        yield from EXPLOITED
    if "epss" not in told:
        yield from PREDICTED


def _ignored(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What somebody told Grype to ignore. Its own rules of what is no match at all give a reason or a kind of match."""
    for index, match in enumerate(objects(document.get("ignoredMatches"), "ignoredMatches")):
        rules = objects(match.get("appliedIgnoreRules"), f"ignoredMatches[{index}].appliedIgnoreRules")
        if not rules or not all(one.get("match-type") or one.get("reason") for one in rules):
            yield match


def _finding(match: dict[str, Any], where: str, report: Report, asked: Asked) -> Finding:
    told, artifact = table(match.get("vulnerability")), table(match.get("artifact"))
    identity = text(told.get("id"))
    if not identity:
        raise UsageError(f"{where} has no vulnerability.id.")
    package = _package(artifact, where, report, asked)
    fix = table(told.get("fix"))
    related = [text(one.get("id")) for one in objects(match.get("relatedVulnerabilities"), f"{where}.related")]
    exploited = objects(told.get("knownExploited"), f"{where}.knownExploited")[:1]
    predicted = objects(told.get("epss"), f"{where}.epss")[:1]
    return found(
        (identity, *related),
        package,
        _rating(told, where),
        lowest_fix(asked, package, texts(fix.get("versions"))),
        note=_NOTES.get(text(fix.get("state")), FIX_NOT_TOLD),
        exploited=next((moment(one.get("dateAdded"))[:10] or "unknown" for one in exploited), ""),
        due=next((moment(one.get("dueDate"))[:10] for one in exploited), ""),
        epss=next((number(one.get("epss"), 1) for one in predicted), -1.0),
        percentile=next((number(one.get("percentile"), 1) for one in predicted), -1.0),
        summary=text(told.get("description"))[:SUMMARY_LIMIT],
    )


def _package(artifact: dict[str, Any], where: str, report: Report, asked: Asked) -> Package:
    purl, version = text(artifact.get("purl")), text(artifact.get("version"))
    places = objects(artifact.get("locations"), f"{where}.locations")
    path = next((text(one.get("path")) for one in places), "")
    layer = next((digest(one.get("layerID")) for one in places), "")
    package = package_of(asked, text(artifact.get("name")), version, purl, report.distribution)
    return replace(package, path=path.lstrip("/"), layer=layer)


def _rating(told: dict[str, Any], where: str) -> Rating:
    scored = objects(told.get("cvss"), f"{where}.cvss")
    best = max(scored, key=lambda one: text(one.get("version")), default={})
    namespace = text(told.get("namespace"))
    who = "cve" if namespace.startswith("nvd") else "advisory" if ":language:" in namespace else "distribution"
    score = number(table(best.get("metrics")).get("baseScore"), 10)
    return Rating(who if namespace else "grype", severity(told.get("severity")), score, text(best.get("vector")))
