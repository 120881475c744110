"""JSON for programs, stable within a `schema_version`: see docs/reference/json-report.md."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from dockgate.gate.next_steps import describe_next_steps
from dockgate.reports import SCHEMA_VERSION, GateReport, InventoryFormat, InventoryReport, ScanReport
from dockgate.reports._document import Document, select_fields, write
from dockgate.reports._image_report import ImageReport, PlatformPart, build_image_report
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.shared.canonical import to_plain
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Finding

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedExemption, PlatformVerdict, Violation


class Json(InventoryFormat):
    """The report of the format json."""

    @override
    def write_scan(self, report: ScanReport, output: TextIO) -> None:
        document = _build_head("scan", build_image_report(report))
        document["coverage"] = [
            {"ecosystem": coverage.ecosystem, "is_complete": coverage.is_complete, "checked_at": coverage.checked_at}
            for coverage in report.coverage
        ]
        undetermined_lists = [matches.undetermined for _, matches in report.platforms]
        document["platforms"] = [
            {
                **_build_platform(part),
                "findings": _build_findings(part.findings, part),
                "undetermined": to_plain(entries),
            }
            for part, entries in zip(build_image_report(report).parts, undetermined_lists, strict=True)
        ]
        write(document, output)

    @override
    def write_verdict(self, report: GateReport, output: TextIO) -> None:
        document = _build_head("gate", build_image_report(report))
        document["verdict"] = {
            "status": report.verdict.status.value,
            "policy": report.verdict.policy,
            "summary": report.verdict.summary,
            "inputs": to_plain(report.verdict.inputs),
        }
        parts = zip(build_image_report(report).parts, report.verdict.platform_verdicts, strict=True)
        document["platforms"] = [
            {**_build_platform(part), **_build_verdict_fields(part, platform_verdict)}
            for part, platform_verdict in parts
        ]
        write(document, output)

    @override
    def write_inventory(self, report: InventoryReport, output: TextIO) -> None:
        document = _build_head("inventory", build_image_report(report))
        document["platforms"] = [_build_platform(part) for part in build_image_report(report).parts]
        write(document, output)


REPORT: InventoryFormat = Json()


def _build_head(kind: str, report: ImageReport) -> Document:
    image = {"reference": report.reference, "digest": report.digest}
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "image": image}


def _build_platform(part: PlatformPart) -> Document:
    inventory = part.inventory
    document = {
        "platform": part.platform,
        "manifest": part.manifest,
        "reported_by": part.platform_verdict.source if part.platform_verdict else None,
    }
    if inventory is None:
        names = ("distribution", "layers", "base_layers", "base", "created", "user", "packages", "unread")
        return document | dict.fromkeys(names)
    return {
        **document,
        "distribution": _build_distribution(inventory.distribution) if inventory.distribution else None,
        "layers": list(inventory.layers),
        "base_layers": inventory.base_layers,
        **select_fields(inventory, "base", "created", "user"),
        "packages": [_build_package(package, inventory) for package in inventory.packages],
        "unread": to_plain(inventory.unread),
    }


def _build_distribution(distribution: Distribution) -> Document:
    return {
        **select_fields(distribution, "id", "version", "name"),
        "like": list(distribution.like),
        **select_fields(distribution, "support_end", "repository"),
    }


def _build_package(package: Package, inventory: Inventory) -> Document:
    return {
        **select_fields(package, "name", "version", "purl", "ecosystem", "path", "layer"),
        "source": {"name": package.source_name, "version": package.source_version},
        "is_in_base": inventory.is_in_base(package) if inventory.base_layers else None,
        **select_fields(package, "arch", "module", "vendor", "owner"),
    }


def _build_verdict_fields(part: PlatformPart, platform_verdict: "PlatformVerdict") -> Document:
    return {
        "findings": _build_findings(part.findings, part),
        "undetermined": [
            {**to_plain(entry), "advice": describe_next_steps(entry, part.manifest)}
            for entry in platform_verdict.undetermined
        ],
        "status": platform_verdict.status.value,
        "counts": platform_verdict.counts,
        "violations": _build_violations(platform_verdict.violations, part),
        "warnings": _build_violations(platform_verdict.warnings, part),
        "notes": _build_violations(platform_verdict.notes, part),
        "waived": [_build_waived_entry(entry, part) for entry in platform_verdict.waived],
        "remediation": to_plain(platform_verdict.remediation),
    }


def _build_violations(violations: "Iterable[Violation]", part: PlatformPart) -> list[Document]:
    return [
        {"rule": violation.rule, "message": violation.message, "findings": _build_findings(violation.findings, part)}
        for violation in violations
    ]


def _build_waived_entry(waiver: "AppliedExemption", part: PlatformPart) -> Document:
    return {
        **select_fields(waiver, "kind", "by", "owner", "reason"),
        "finding": _build_finding(waiver.finding, part) if waiver.finding else None,
        **select_fields(waiver, "until", "violation", "unread"),
    }


def _build_findings(findings: Iterable[Finding], part: PlatformPart) -> list[Document]:
    return [_build_finding(finding, part) for finding in findings]


def _build_finding(finding: Finding, part: PlatformPart) -> Document:
    package, rating = finding.package, finding.rating
    return {
        **select_fields(finding, "id", "is_disputed", "is_malicious"),
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "score": rating.score,
        "vector": rating.vector,
        "rated_by": rating.source,
        "package": {
            **select_fields(package, "name", "version", "purl", "path", "layer"),
            "is_in_base": part.is_in_base(package),
        },
        "state": finding.state.value,
        "known_exploited_since": finding.exploited,
        "epss": None if finding.epss is None else {"score": finding.epss, "percentile": finding.percentile},
        **select_fields(finding, "fixed", "note", "reachable", "due", "published", "summary"),
    }
