"""JSON for programs: stable within a `schema_version`; keys may be added. Sizes are counts, times RFC 3339 in UTC.

Common to both documents: `schema_version`, `kind`, `image` {`reference`, `digest`} and `platforms`, each of which has
`platform`, `manifest` (its digest), `distribution` {`id`, `version`, `name`} or null, `packages`, `unread`, `findings`
and `undetermined`. "scan" adds `coverage`. "gate" adds `verdict` {`status`, `policy`, `summary`, `inputs`},
and to each platform `status`, `counts`, `breaches` and `remedy`; where the inventory is not at hand, as with a verdict
looked up without it, `distribution`, `packages` and `unread` are null.
"""

import json
from typing import Any, TextIO

from dockgate.core.canonical import plain
from dockgate.core.model import Finding, Inventory, Package, Undetermined
from dockgate.reports import SCHEMA_VERSION, GateReport, Report, ScanReport


class Json:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        document = _head("scan", report.reference, report.digest)
        document["coverage"] = [
            {"ecosystem": one.ecosystem, "complete": one.complete, "checked_at": one.checked_at}
            for one in report.coverage
        ]
        document["platforms"] = [
            {
                **_held(inventory.platform, inventory.image, inventory),
                **_found(matches.findings, matches.undetermined),
            }
            for inventory, matches in report.platforms
        ]
        _write(document, out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        verdict = report.verdict
        document = _head("gate", report.reference, verdict.image)
        document["verdict"] = {
            "status": verdict.status.value,
            "policy": verdict.policy,
            "summary": verdict.summary,
            "inputs": plain(verdict.inputs),
        }
        inventories = {(inventory.platform, inventory.image): inventory for inventory in report.inventories}
        document["platforms"] = [
            {
                **_held(one.platform, one.image, inventories.get((one.platform, one.image))),
                **_found(one.findings, one.undetermined),
                "status": one.status.value,
                "counts": one.counts,
                "breaches": [
                    {"rule": breach.rule, "message": breach.message, "findings": [_finding(f) for f in breach.findings]}
                    for breach in one.breaches
                ],
                "remedy": [plain(upgrade) for upgrade in one.remedy],
            }
            for one in verdict.judgements
        ]
        _write(document, out)


REPORT: Report = Json()


def _head(kind: str, reference: str, digest: str) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "image": {"reference": reference, "digest": digest}}


def _held(platform: str, manifest: str, inventory: Inventory | None) -> dict[str, Any]:
    distribution = inventory.distribution if inventory else None
    return {
        "platform": platform,
        "manifest": manifest,
        "distribution": distribution
        and {"id": distribution.id, "version": distribution.version, "name": distribution.name},
        "packages": [_package(package) for package in inventory.packages] if inventory else None,
        "unread": [plain(unread) for unread in inventory.unread] if inventory else None,
    }


def _package(package: Package) -> dict[str, Any]:
    return {
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "ecosystem": package.ecosystem,
        "source": {"name": package.source_name, "version": package.source_version},
        "path": package.path,
        "layer": package.layer,
        "owner": package.owner or None,
    }


def _found(findings: tuple[Finding, ...], undetermined: tuple[Undetermined, ...]) -> dict[str, Any]:
    return {
        "findings": [_finding(finding) for finding in findings],
        "undetermined": [plain(entry) for entry in undetermined],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    package, rating = finding.package, finding.rating
    return {
        "id": finding.id,
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "score": rating.score if rating.score >= 0 else None,
        "vector": rating.vector or None,
        "rated_by": rating.source or None,
        "package": {"name": package.name, "version": package.version, "purl": package.purl, "path": package.path},
        "fixed": finding.fixed or None,
        "note": finding.note or None,
        "known_exploited_since": finding.exploited or None,
        "malicious": finding.malicious,
        "summary": finding.summary,
    }


def _write(document: dict[str, Any], out: TextIO) -> None:
    """ASCII alone: no encoding can refuse it, and no terminal is steered by it."""
    json.dump(document, out, indent=2, allow_nan=False)
    out.write("\n")
