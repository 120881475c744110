"""One readable file for each case of matching, in tests/cases/match: packages, advisories, expected findings.

Packages are "<ecosystem> <name> <version>" or mappings; advisories have OSV's keys, with `of: <ecosystem> <name>`,
ranges as "introduced 0, fixed 1.2", ratings as "advisory HIGH 7.5". Without `coverage` all ecosystems are covered.
The cases are written for this project; some have the ids and versions of real advisories.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dockgate.scanner import ecosystems
from dockgate.scanner.model import Package
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Cve, Finding, Range, Rating, Severity

CASES = sorted((Path(__file__).parent.parent / "cases" / "match").glob("*.yaml"))


def read(path: Path) -> dict[str, Any]:
    """All scalars as text, so that versions need no quotes."""
    case: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 - makes nothing but text
    unknown = case.keys() - {"packages", "advisories", "coverage", "cves", "findings", "undetermined"}
    assert not unknown, f"{path.name}: unknown keys {unknown}"
    return case


def make_package(value: str | dict[str, str]) -> Package:
    if isinstance(value, str):
        value = dict(zip(("ecosystem", "name", "version"), shlex.split(value), strict=True))
    kind = {"PyPI": "pypi", "Debian": "deb", "Ubuntu": "deb"}.get(value["ecosystem"].partition(":")[0])
    version = value["version"]
    return Package(
        name=value["name"],
        version=version,
        purl=f"pkg:{kind or value['ecosystem'].lower()}/{value['name']}@{version}",
        ecosystem=value["ecosystem"],
        source_name=value.get("source", value["name"]),
        source_version=value.get("source_version", version),
        path=value.get("path", "some/path"),
        owner=value.get("owner"),
        module=value.get("module"),
        imports=value.get("imports"),
    )


def make_advisory(value: Mapping[str, Any]) -> Advisory:
    ecosystem, name = value["of"].rsplit(maxsplit=1)
    lists: dict[str, Any] = {key: tuple(value.get(key, ())) for key in ("versions", "aliases", "upstream", "imports")}
    texts: dict[str, Any] = {key: value.get(key) for key in ("withdrawn", "note", "module")}
    ranges = tuple(_parse_range(text) for text in value.get("ranges", ()))
    ratings = tuple(_parse_rating(text) for text in value.get("ratings", ()))
    alias_groups = tuple(map(tuple, value.get("alias_groups", ())))
    return Advisory(value["id"], ecosystem, name, ranges, ratings=ratings, alias_groups=alias_groups, **lists, **texts)


def make_cve(identity: str, value: Mapping[str, str]) -> Cve:
    rating = _parse_rating(f"cve {value['rating']}") if "rating" in value else None
    chances = {key: float(value[key]) if key in value else None for key in ("epss", "percentile")}
    return Cve(identity, rating, value.get("exploited"), value.get("due"), **chances)


def _parse_range(text: str) -> Range:
    events = (event.split() for event in text.split(", "))
    return Range("ECOSYSTEM", tuple((kind, version) for kind, version in events))


def _parse_rating(text: str) -> Rating:
    source, severity, *score = text.split()
    return Rating(source, Severity(severity), float(score[0]) if score else None)


def describe_finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "package": f"{finding.package.name} {finding.package.version}",
        "fixed": finding.fixed or "",
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "rated_by": finding.rating.source or "",
        "note": finding.note or "",
        "exploited": finding.exploited or "",
        "due": finding.due or "",
        "epss": str(finding.epss or ""),
        "state": finding.state.value,
        "path": finding.package.path,
        "reachable": finding.reachable or "",
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_advisories_match_as_the_case_states(path: Path) -> None:
    case = read(path)
    packages = [make_package(value) for value in case["packages"]]
    coverages = case.get(
        "coverage", [{"ecosystem": name} for name in sorted({package.ecosystem for package in packages})]
    )
    coverage = tuple(
        Coverage(
            coverage["ecosystem"], "names" not in coverage, tuple(coverage.get("names", ())), "2026-11-24T00:00:00Z"
        )
        for coverage in coverages
    )
    cves = tuple(make_cve(identity, value) for identity, value in sorted(case.get("cves", {}).items()))
    snapshot = AdvisorySnapshot(tuple(make_advisory(value) for value in case.get("advisories", ())), coverage, cves)

    matches = Matcher(snapshot, ecosystems.load()).match(packages)

    expected = case.get("findings", [])
    for value in expected:
        assert value.keys() >= {"id", "package", "fixed"}
    result = [describe_finding(finding) for finding in matches.findings]
    assert [{key: entry[key] for key in value} for entry, value in zip(result, expected, strict=False)] == expected, (
        result
    )
    assert len(result) == len(expected), result

    doubts = case.get("undetermined", [])
    assert [(entry.subject, entry.kind) for entry in matches.undetermined] == [
        (value["subject"], value["kind"]) for value in doubts
    ], matches.undetermined
    for entry, value in zip(matches.undetermined, doubts, strict=True):
        assert value["says"] in entry.reason
