"""SARIF 2.1.0 (OASIS), as scanners of images write it. It is a format for places in files: of packages, fixes and the
image it says only what a tool adds of its own accord."""

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
    moment,
    number,
    objects,
    of_score,
    plain_package,
    severity,
    table,
    text,
    texts,
)
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Package
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import FIX_NOT_TOLD, Finding, Rating, Severity

_VERSION = "2.1.0"
_NO_FAULT = ("pass", "notApplicable")
"""kinds of results (3.27.9) that say that nothing is wrong; "open" and "review" do not"""
_OTHER = frozenset({"misconfiguration", "secret", "license"})
"""tags of Trivy's results that are no vulnerabilities"""


class Sarif:
    name = "sarif"
    title = "SARIF 2.1.0"
    version = 1

    def recognises(self, document: Any) -> bool:
        return isinstance(document, dict) and isinstance(document.get("runs"), list) and "version" in document

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        """A report for each run. Suppressed results count: whom to excuse is for our own waivers to say."""
        if document["version"] != _VERSION:
            raise UsageError(f"It is SARIF {text(document['version']) or 'of no version'}; read is {_VERSION}.")
        runs = objects(document["runs"], "runs")
        if not runs:
            raise UsageError("It has no run, so that nothing was looked at.")
        return tuple(_run(run, f"runs[{index}]", asked) for index, run in enumerate(runs))


FORMAT: Format = Sarif()


def _run(run: dict[str, Any], where: str, asked: Asked) -> ExternalReport:
    driver, said = table(table(run.get("tool")).get("driver")), table(run.get("properties"))
    stated = (said.get("manifest"), said.get("digest"), *texts(said.get("repoDigests")), said.get("imageName"))
    calls = objects(run.get("invocations"), f"{where}.invocations")
    report = Report(
        source=text(driver.get("name")).lower() or "sarif",
        image=image_of(map(digest, stated), asked),
        at=max((moment(one.get("endTimeUtc")) for one in calls), default=""),
        platform=text(said.get("platform")),
        missing_fields={*EXPLOITED, *PREDICTED, "fixed_at", "published"},
    )
    if any(one.get("executionSuccessful") is False for one in calls):
        report.doubt(f"{report.source} says of itself that it did not succeed.")
    if "results" not in run:
        report.doubt(f"{report.source} has no list of results: it may not have looked for any.")
    rules = objects(driver.get("rules"), f"{where}.rules")
    by_id = {text(rule.get("id")): rule for rule in rules}
    for index, result in enumerate(objects(run.get("results"), f"{where}.results")):
        identity = text(result.get("ruleId")) or text(table(result.get("rule")).get("id"))
        place = result.get("ruleIndex")
        rule = by_id.get(identity, {})
        if not rule and isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(rules):
            rule = rules[place]
        identity = identity or text(rule.get("id"))
        if not identity:
            raise UsageError(f"{where}.results[{index}] names no rule.")
        if result.get("kind") in _NO_FAULT or result.get("baselineState") == "absent":
            continue
        if _OTHER.isdisjoint(_tags(rule)):
            report.findings.append(_finding(identity, rule, result, f"{where}.results[{index}]"))
    return report.reported()


def _finding(identity: str, rule: dict[str, Any], result: dict[str, Any], where: str) -> Finding:
    name, rest = _name(identity)
    title = text(table(rule.get("shortDescription")).get("text")) or text(table(result.get("message")).get("text"))
    return found(
        (name,), _package(result, rest, where), _rating(rule), "", note=FIX_NOT_TOLD, summary=title[:SUMMARY_LIMIT]
    )


def _name(identity: str) -> tuple[str, str]:
    """The vulnerability, and what follows it: Grype's rules are called "CVE-2024-1-openssl"."""
    parts = identity.split("-")
    wanted = {"CVE": 3, "GHSA": 4}.get(parts[0], len(parts))
    return "-".join(parts[:wanted]), "-".join(parts[wanted:])


def _package(result: dict[str, Any], name: str, where: str) -> Package:
    """What the places say: a package URL as the name of a logical one, the file of a physical one."""
    places = objects(result.get("locations"), f"{where}.locations")
    logical = [one for place in places for one in objects(place.get("logicalLocations"), f"{where}.logicalLocations")]
    purls = [whole for one in logical if (whole := text(one.get("fullyQualifiedName"))).startswith("pkg:")]
    names = [text(one.get("name")) for one in logical if text(one.get("kind")) in ("package", "module")]
    files = [table(table(place.get("physicalLocation")).get("artifactLocation")).get("uri") for place in places]
    path = next((found for one in files if (found := text(one)) and found != "."), "")
    return plain_package(next(filter(None, names), name), "", next(iter(purls), ""), path.lstrip("/"))


def _rating(rule: dict[str, Any]) -> Rating:
    """By a tag that is a severity, else by GitHub's `security-severity`, a CVSS score. A result's level is no severity:
    tools map it as they like."""
    score = number(table(rule.get("properties")).get("security-severity"), 10)
    words = [word for tag in _tags(rule) if (word := severity(tag)) is not Severity.UNTRIAGED]
    return Rating("advisory", min(words, key=lambda one: one.rank) if words else of_score(score), score)


def _tags(rule: dict[str, Any]) -> tuple[str, ...]:
    return texts(table(rule.get("properties")).get("tags"))
