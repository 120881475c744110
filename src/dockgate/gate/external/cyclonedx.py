"""CycloneDX as JSON, 1.4 to 1.7, with vulnerabilities in it.

Source: https://cyclonedx.org/docs/1.6/json/#vulnerabilities.
"""

from typing import Any
from urllib.parse import unquote

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    SUMMARY_LIMIT,
    read_digest,
    read_mapping,
    read_mappings,
    read_number,
    read_severity,
    read_text,
    read_timestamp,
)
from dockgate.gate.external._report import (
    EPSS_FIELDS,
    KEV_FIELDS,
    ReportBuilder,
    make_distribution,
    make_finding,
    make_package,
    make_plain_package,
    require_image_digest,
    select_lowest_fix,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Package
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import is_purl, strip_qualifiers
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
    def can_read(self, document: Any) -> bool:
        return isinstance(document, dict) and document.get("bomFormat") == "CycloneDX" and "vulnerabilities" in document

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        """Read the findings of a CycloneDX document, whatever their `analysis` says.

        An `analysis` is a VEX statement, valid only from a trusted author.
        """
        version = document.get("specVersion")
        if version not in VERSIONS:
            raise UsageError(f"CycloneDX {read_text(version)} is not supported; supported: {', '.join(VERSIONS)}")
        metadata = read_mapping(document.get("metadata"))
        root = read_mapping(metadata.get("component"))
        candidates = (read_text(root.get("version")), unquote(strip_qualifiers(read_text(root.get("purl")))))
        components = _collect_components(document, root)
        report = ReportBuilder(
            source=_read_tool(metadata) or self.name,
            image=require_image_digest(map(read_digest, candidates), context),
            at=read_timestamp(metadata.get("timestamp")),
            distribution=_find_distribution(components),
            missing_fields={*KEV_FIELDS, *EPSS_FIELDS, "fixed_at"},
        )
        packages = {reference: _read_package(component, report, context) for reference, component in components.items()}
        report.packages.extend(package for package in packages.values() if package.purl)
        for index, vulnerability in enumerate(read_mappings(document["vulnerabilities"], "vulnerabilities")):
            location = f"vulnerabilities[{index}]"
            affected_entries = read_mappings(vulnerability.get("affects"), f"{location}.affects")
            if not read_text(vulnerability.get("id")):
                raise UsageError(f"{location} has no id")
            for entry in affected_entries or [{}]:
                if not _is_unaffected(entry, location):
                    report.findings.append(_read_finding(vulnerability, entry, location, packages, context))
        return (report.build(),)


FORMAT: Format = CycloneDx()


def _read_tool(metadata: dict[str, Any]) -> str:
    """The first tool's name: from a list in 1.4, from an object of components since 1.5."""
    tools = metadata.get("tools")
    entries = tools if isinstance(tools, list) else read_mapping(tools).get("components")
    entries = entries if isinstance(entries, list) else ()
    return next((read_text(tool.get("name")).lower() for tool in entries if isinstance(tool, dict)), "")


def _collect_components(document: dict[str, Any], root: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Components by bom-ref, nested ones included."""
    components: dict[str, dict[str, Any]] = {}
    pending = [(component, 1) for component in read_mappings(document.get("components"), "components")]
    pending += [(root, 1)] if root else []
    while pending:
        component, depth = pending.pop()
        if depth > _NESTING_LIMIT:
            raise UsageError(f"the document has components nested more than {_NESTING_LIMIT} deep")
        components.setdefault(read_text(component.get("bom-ref")) or read_text(component.get("purl")), component)
        pending += [(component, depth + 1) for component in read_mappings(component.get("components"), "components")]
    return components


def _find_distribution(components: dict[str, dict[str, Any]]) -> Distribution | None:
    for component in components.values():
        if component.get("type") == "operating-system" and read_text(component.get("name")):
            return make_distribution(component.get("name"), component.get("version"))
    return None


def _read_package(component: dict[str, Any], report: ReportBuilder, context: ReadContext) -> Package:
    purl, version = read_text(component.get("purl")), read_text(component.get("version"))
    if component.get("type") in ("container", "operating-system"):
        purl = ""
    group, name = read_text(component.get("group")), read_text(component.get("name"))
    return make_package(context, f"{group}/{name}" if group else name, version, purl, report.distribution)


def _is_unaffected(entry: dict[str, Any], location: str) -> bool:
    """Return whether all its versions have the status unaffected."""
    versions = read_mappings(entry.get("versions"), f"{location}.affects.versions")
    return bool(versions) and all(version.get("status") == "unaffected" for version in versions)


def _read_finding(
    vulnerability: dict[str, Any],
    entry: dict[str, Any],
    location: str,
    packages: dict[str, Package],
    context: ReadContext,
) -> Finding:
    reference = read_text(entry.get("ref"))
    package = packages.get(reference) or packages.get(unquote(reference.rpartition("#")[2]))
    package = package or make_plain_package(reference, "", reference if is_purl(reference) else "")
    fixes = [
        read_text(version.get("version"))
        for version in read_mappings(entry.get("versions"), f"{location}.affects.versions")
        if version.get("status") == "unaffected" and read_text(version.get("version"))
    ]
    references = read_mappings(vulnerability.get("references"), f"{location}.references")
    return make_finding(
        (read_text(vulnerability.get("id")), *(read_text(reference.get("id")) for reference in references)),
        package,
        _read_rating(vulnerability, location),
        select_lowest_fix(context, package, fixes),
        note=FIX_UNKNOWN,
        published=read_timestamp(vulnerability.get("published")),
        summary=read_text(vulnerability.get("description"))[:SUMMARY_LIMIT],
    )


def _read_rating(vulnerability: dict[str, Any], location: str) -> Rating:
    """The rating of the vulnerability's own source, else the worst.

    The score is that of the newest CVSS version.
    """
    ratings = read_mappings(vulnerability.get("ratings"), f"{location}.ratings")
    source = read_text(read_mapping(vulnerability.get("source")).get("name"))
    ratings = [
        rating for rating in ratings if read_text(read_mapping(rating.get("source")).get("name")) == source
    ] or ratings
    words = [read_severity(rating.get("severity")) for rating in ratings]
    scored_ratings = [rating for rating in ratings if read_number(rating.get("score"), 10) is not None]
    best_rating = min(scored_ratings, key=_rank_cvss, default={})
    score = read_number(best_rating.get("score"), 10)
    worst_severity = min(
        (word for word in words if word is not Severity.UNTRIAGED), key=lambda word: word.rank, default=None
    )
    return Rating("advisory", worst_severity or rate_score(score), score, read_text(best_rating.get("vector")) or None)


def _rank_cvss(rating: dict[str, Any]) -> tuple[int, float]:
    method, score = read_text(rating.get("method")), read_number(rating.get("score"), 10)
    return _METHODS.index(method) if method in _METHODS else len(_METHODS), rank_score(score)
