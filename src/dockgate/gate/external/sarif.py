"""SARIF 2.1.0 (OASIS), as image scanners write it.

SARIF describes locations in files. Packages, fixes and the image are only in properties that some tools add.
"""

from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    SUMMARY_LIMIT,
    read_digest,
    read_mapping,
    read_mappings,
    read_number,
    read_severity,
    read_text,
    read_texts,
    read_timestamp,
    select_latest_time,
)
from dockgate.gate.external._report import (
    EPSS_FIELDS,
    KEV_FIELDS,
    ReportBuilder,
    make_finding,
    make_plain_package,
    require_image_digest,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Package
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import is_purl
from dockgate.vulnerabilities.model import FIX_UNKNOWN, Finding, Rating, Severity, rate_score

_VERSION = "2.1.0"
# Kinds of results (3.27.9) without a problem; "open" and "review" may be one.
_PASSING_KINDS = ("pass", "notApplicable")
# Tags of Trivy's results that are not vulnerabilities.
_OTHER_TAGS = frozenset({"misconfiguration", "secret", "license"})


class Sarif(Format):
    """SARIF 2.1.0."""

    name = "sarif"
    title = "SARIF 2.1.0"
    version = 2

    @override
    def can_read(self, document: Any) -> bool:
        return isinstance(document, dict) and isinstance(document.get("runs"), list) and "version" in document

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        """A report for each run. Suppressed results count: only our own waivers accept findings."""
        if document["version"] != _VERSION:
            version = read_text(document["version"]) or "without version"
            raise UsageError(f"SARIF {version} is not supported; supported: {_VERSION}")
        runs = read_mappings(document["runs"], "runs")
        if not runs:
            raise UsageError("the document has no runs")
        return tuple(_read_run(run, f"runs[{index}]", context) for index, run in enumerate(runs))


FORMAT: Format = Sarif()


def _read_run(run: dict[str, Any], location: str, context: ReadContext) -> ExternalReport:
    driver, properties = read_mapping(read_mapping(run.get("tool")).get("driver")), read_mapping(run.get("properties"))
    digests = properties.get("manifest"), properties.get("digest"), *read_texts(properties.get("repoDigests"))
    candidates = *digests, properties.get("imageName")
    invocations = read_mappings(run.get("invocations"), f"{location}.invocations")
    report = ReportBuilder(
        source=read_text(driver.get("name")).lower() or "sarif",
        image=require_image_digest(map(read_digest, candidates), context),
        at=select_latest_time(read_timestamp(invocation.get("endTimeUtc")) for invocation in invocations),
        platform=read_text(properties.get("platform")) or None,
        missing_fields={*KEV_FIELDS, *EPSS_FIELDS, "fixed_at", "published"},
    )
    if any(invocation.get("executionSuccessful") is False for invocation in invocations):
        report.add_undetermined(f"{report.source} reports that its run failed.")
    if "results" not in run:
        report.add_undetermined(f"{report.source} has no list of results: it may not have scanned.")
    rules = read_mappings(driver.get("rules"), f"{location}.rules")
    by_id = {read_text(rule.get("id")): rule for rule in rules}
    for index, result in enumerate(read_mappings(run.get("results"), f"{location}.results")):
        identity = read_text(result.get("ruleId")) or read_text(read_mapping(result.get("rule")).get("id"))
        rule_index = result.get("ruleIndex")
        rule = by_id.get(identity, {})
        if not rule and type(rule_index) is int and 0 <= rule_index < len(rules):
            rule = rules[rule_index]
        identity = identity or read_text(rule.get("id"))
        if not identity:
            raise UsageError(f"{location}.results[{index}] has no rule")
        if result.get("kind") in _PASSING_KINDS or result.get("baselineState") == "absent":
            continue
        if _OTHER_TAGS.isdisjoint(_read_tags(rule)):
            report.findings.append(_read_finding(identity, rule, result, f"{location}.results[{index}]"))
    return report.build()


def _read_finding(identity: str, rule: dict[str, Any], result: dict[str, Any], location: str) -> Finding:
    name, package_name = _split_rule(identity)
    title = read_text(read_mapping(rule.get("shortDescription")).get("text")) or read_text(
        read_mapping(result.get("message")).get("text")
    )
    package = _read_package(result, package_name, location)
    return make_finding((name,), package, _read_rating(rule), "", note=FIX_UNKNOWN, summary=title[:SUMMARY_LIMIT])


def _split_rule(identity: str) -> tuple[str, str]:
    """The vulnerability and the package: Grype's rules have names such as "CVE-2024-1-openssl"."""
    parts = identity.split("-")
    length = {"CVE": 3, "GHSA": 4}.get(parts[0], len(parts))
    return "-".join(parts[:length]), "-".join(parts[length:])


def _read_package(result: dict[str, Any], name: str, document_location: str) -> Package:
    """The package of the locations.

    A logical one may have a package URL as its name, a physical one has a file.
    """
    locations = read_mappings(result.get("locations"), f"{document_location}.locations")
    logical_locations = [
        logical_location
        for location in locations
        for logical_location in read_mappings(location.get("logicalLocations"), f"{document_location}.logicalLocations")
    ]
    qualified_names = [read_text(logical_location.get("fullyQualifiedName")) for logical_location in logical_locations]
    purls = [name for name in qualified_names if is_purl(name)]
    names = [
        read_text(logical_location.get("name"))
        for logical_location in logical_locations
        if read_text(logical_location.get("kind")) in ("package", "module")
    ]
    files = [
        read_mapping(read_mapping(location.get("physicalLocation")).get("artifactLocation")).get("uri")
        for location in locations
    ]
    path = next((name for name in map(read_text, files) if name and name != "."), "")
    return make_plain_package(next(filter(None, names), name), "", next(iter(purls), ""), path.lstrip("/"))


def _read_rating(rule: dict[str, Any]) -> Rating:
    """The rating by a tag with a severity, else by GitHub's `security-severity`, a CVSS score.

    A result's level is not used: each tool maps it differently.
    """
    score = read_number(read_mapping(rule.get("properties")).get("security-severity"), 10)
    words = [word for tag in _read_tags(rule) if (word := read_severity(tag)) is not Severity.UNTRIAGED]
    return Rating("advisory", min(words, key=lambda word: word.rank) if words else rate_score(score), score)


def _read_tags(rule: dict[str, Any]) -> tuple[str, ...]:
    return read_texts(read_mapping(rule.get("properties")).get("tags"))
