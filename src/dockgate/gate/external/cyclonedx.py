"""CycloneDX as JSON, 1.4 to 1.7, with vulnerabilities in it.

Source: https://cyclonedx.org/docs/1.6/json/#vulnerabilities.
"""

from typing import Any
from urllib.parse import unquote

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    SUMMARY_LIMIT,
    digest,
    mapping,
    mappings,
    number,
    severity,
    text,
    timestamp,
)
from dockgate.gate.external._report import (
    EPSS_FIELDS,
    KEV_FIELDS,
    ReportBuilder,
    image_digest,
    lowest_fix,
    make_distribution,
    make_finding,
    make_package,
    plain_package,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Package
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import FIX_UNKNOWN, Finding, Rating, Severity, rank_score, rate_score

VERSIONS = ("1.4", "1.5", "1.6", "1.7")
_NESTING_LIMIT = 64
_METHODS = ("CVSSv4", "CVSSv31", "CVSSv3", "CVSSv2")


class CycloneDx(Format):
    """CycloneDX 1.4 to 1.7 with `vulnerabilities`."""

    name = "cyclonedx"
    title = "CycloneDX with vulnerabilities"
    version = 2

    @override
    def recognises(self, document: Any) -> bool:
        return isinstance(document, dict) and document.get("bomFormat") == "CycloneDX" and "vulnerabilities" in document

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        """Read the findings of a CycloneDX document, whatever their `analysis` says.

        An `analysis` is a VEX statement, valid only from a trusted author.
        """
        version = document.get("specVersion")
        if version not in VERSIONS:
            raise UsageError(f"CycloneDX {text(version)} is not supported; supported: {', '.join(VERSIONS)}.")
        metadata = mapping(document.get("metadata"))
        root = mapping(metadata.get("component"))
        candidates = (text(root.get("version")), unquote(text(root.get("purl")).partition("?")[0]))
        components = _components(document, root)
        report = ReportBuilder(
            source=_tool(metadata) or self.name,
            image=image_digest(map(digest, candidates), context),
            at=timestamp(metadata.get("timestamp")),
            distribution=_system(components),
            missing_fields={*KEV_FIELDS, *EPSS_FIELDS, "fixed_at"},
        )
        packages = {reference: _package(component, report, context) for reference, component in components.items()}
        report.packages.extend(package for package in packages.values() if package.purl)
        for index, vulnerability in enumerate(mappings(document["vulnerabilities"], "vulnerabilities")):
            location = f"vulnerabilities[{index}]"
            affected_entries = mappings(vulnerability.get("affects"), f"{location}.affects")
            if not text(vulnerability.get("id")):
                raise UsageError(f"{location} has no id.")
            for entry in affected_entries or [{}]:
                if not _is_unaffected(entry, location):
                    report.findings.append(_finding(vulnerability, entry, location, packages, context))
        return (report.build(),)


FORMAT: Format = CycloneDx()


def _tool(metadata: dict[str, Any]) -> str:
    """The first tool's name: from a list in 1.4, from an object of components since 1.5."""
    tools = metadata.get("tools")
    entries = tools if isinstance(tools, list) else mapping(tools).get("components")
    entries = entries if isinstance(entries, list) else ()
    return next((text(tool.get("name")).lower() for tool in entries if isinstance(tool, dict)), "")


def _components(document: dict[str, Any], root: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Components by bom-ref, nested ones included."""
    components: dict[str, dict[str, Any]] = {}
    pending = [(component, 1) for component in mappings(document.get("components"), "components")]
    pending += [(root, 1)] if root else []
    while pending:
        component, depth = pending.pop()
        if depth > _NESTING_LIMIT:
            raise UsageError(f"the document has components nested more than {_NESTING_LIMIT} deep")
        components.setdefault(text(component.get("bom-ref")) or text(component.get("purl")), component)
        pending += [(component, depth + 1) for component in mappings(component.get("components"), "components")]
    return components


def _system(components: dict[str, dict[str, Any]]) -> Distribution | None:
    for component in components.values():
        if component.get("type") == "operating-system" and text(component.get("name")):
            return make_distribution(component.get("name"), component.get("version"))
    return None


def _package(component: dict[str, Any], report: ReportBuilder, context: ReadContext) -> Package:
    purl, version = text(component.get("purl")), text(component.get("version"))
    if component.get("type") in ("container", "operating-system"):
        purl = ""
    group, name = text(component.get("group")), text(component.get("name"))
    return make_package(context, f"{group}/{name}" if group else name, version, purl, report.distribution)


def _is_unaffected(entry: dict[str, Any], location: str) -> bool:
    """Return whether all its versions have the status unaffected."""
    versions = mappings(entry.get("versions"), f"{location}.affects.versions")
    return bool(versions) and all(version.get("status") == "unaffected" for version in versions)


def _finding(
    vulnerability: dict[str, Any],
    entry: dict[str, Any],
    location: str,
    packages: dict[str, Package],
    context: ReadContext,
) -> Finding:
    reference = text(entry.get("ref"))
    package = packages.get(reference) or packages.get(unquote(reference.rpartition("#")[2]))
    package = package or plain_package(reference, "", reference if reference.startswith("pkg:") else "")
    fixes = [
        text(version.get("version"))
        for version in mappings(entry.get("versions"), f"{location}.affects.versions")
        if version.get("status") == "unaffected" and text(version.get("version"))
    ]
    references = mappings(vulnerability.get("references"), f"{location}.references")
    return make_finding(
        (text(vulnerability.get("id")), *(text(reference.get("id")) for reference in references)),
        package,
        _rating(vulnerability, location),
        lowest_fix(context, package, fixes),
        note=FIX_UNKNOWN,
        published=timestamp(vulnerability.get("published")),
        summary=text(vulnerability.get("description"))[:SUMMARY_LIMIT],
    )


def _rating(vulnerability: dict[str, Any], location: str) -> Rating:
    """The rating of the vulnerability's own source, else the worst.

    The score is that of the newest CVSS version.
    """
    ratings = mappings(vulnerability.get("ratings"), f"{location}.ratings")
    source = text(mapping(vulnerability.get("source")).get("name"))
    ratings = [rating for rating in ratings if text(mapping(rating.get("source")).get("name")) == source] or ratings
    words = [severity(rating.get("severity")) for rating in ratings]
    scored_ratings = [rating for rating in ratings if number(rating.get("score"), 10) is not None]
    best_rating = min(scored_ratings, key=_cvss_order, default={})
    score = number(best_rating.get("score"), 10)
    worst_severity = min(
        (word for word in words if word is not Severity.UNTRIAGED), key=lambda word: word.rank, default=None
    )
    return Rating("advisory", worst_severity or rate_score(score), score, text(best_rating.get("vector")) or None)


def _cvss_order(rating: dict[str, Any]) -> tuple[int, float]:
    method = text(rating.get("method"))
    return _METHODS.index(method) if method in _METHODS else len(_METHODS), rank_score(number(rating.get("score"), 10))
