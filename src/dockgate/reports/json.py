"""JSON for programs: stable within a `schema_version`; keys may be added.

Sizes are counts, times RFC 3339 in UTC.

Common to the documents ("scan", "gate", "inventory"): `schema_version`, `kind`, `image` {`reference`, `digest`} and
`platforms`, each of which has
- `platform` ("linux/amd64"), `manifest` (its digest), `reported_by` (the other scanner that reported the
  findings, or null);
- `distribution`: null, or `id`, `version`, `name`, `like` (the IDs it derives from), `support_end` (YYYY-MM-DD or
  null), `repository` (the release that its package repositories serve, or null);
- `layers` (digests from the base up), `base_layers` (how many of them are the base image's, 0 when unknown),
  `base` (its name), `created` and `user` (of the image config, or null);
- `packages`, each with `name`, `version`, `purl`, `ecosystem` (OSV's, with its release), `source` {`name`, `version`}
  (what advisories name), `arch`, `module` (an rpm's), `vendor` (who made a package in a distribution's form that is
  not the distribution's own, or null), `path` (the file that lists it), `layer` (a digest), `in_base` (null when the
  base layers are unknown) and `owner` (the distribution's package that owns it, or null);
- `unread`, each with `path`, `reason` (a sentence) and `layer`.

"scan" adds `coverage`, each with `ecosystem`, `complete` and `checked_at`. "scan" and "gate" add to each platform
- `findings`, each with `id`, `aliases`, `severity`, `score` and `vector` (CVSS), `rated_by` (the source of the rating),
  `package` {`name`, `version`, `purl`, `path`, `layer`, `in_base`}, `fixed` (the lowest fixed version),
  `state` ("fixed", "unfixed", "won't fix", "end of life", or "fix unknown" if the advisory names no fix),
  `note` (the distribution's own term), `disputed`, `reachable` ("yes" or "no": whether a Go program holds one of the
  packages that the advisory names), `known_exploited_since` and `due` (CISA KEV, YYYY-MM-DD),
  `epss` {`score`, `percentile`} (0 to 1), `malicious`, `published`, `summary`; null for unknown values;
- `undetermined`, each with `subject`, `reason`, `kind`, `ids` (the vulnerabilities that could not be compared) and
  `advice` (of a verdict: the next step, in sentences).

"gate" adds `verdict` {`status`, `policy`, `summary`, `inputs`}, and to each platform `status`, `counts` (by severity);
- `violations`, `warnings` and `notes`, each with `rule`, `message` and `findings`;
- `waived`, each with `kind` ("waiver" or "vex"), `by`, `owner`, `reason`, `until`, and `finding` or `violation`,
  with `unread` (a path or package) where `violation` is about unread content;
- `remediation` {`upgrades`, each with `package` (a purl), `name`, `version`, `fixed`, `clears` (ids) and `base`;
  `is_sufficient`, `is_minimum`, `obstacles` (each with `reason`, `id`, `package`), `commands` and `base_commands`}: see
  docs/reference/verdicts.md.
Where the inventory is not available, its fields are null.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from dockgate.gate.next_steps import advice_of
from dockgate.reports import SCHEMA_VERSION, GateReport, InventoryFormat, InventoryReport, ScanReport
from dockgate.reports._document import Document, write
from dockgate.reports._image_report import ImageReport, PlatformPart, image_report
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.shared.canonical import plain
from dockgate.vulnerabilities.model import Finding

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver, PlatformVerdict, Violation


class Json:
    """The report of the format json."""

    def scan(self, report: ScanReport, out: TextIO) -> None:
        document = _head("scan", image_report(report))
        document["coverage"] = [
            {"ecosystem": coverage.ecosystem, "complete": coverage.complete, "checked_at": coverage.checked_at}
            for coverage in report.coverage
        ]
        undetermined = [matches.undetermined for _, matches in report.platforms]
        document["platforms"] = [
            {**_platform(part), "findings": _findings(part.findings, part), "undetermined": plain(doubts)}
            for part, doubts in zip(image_report(report).parts, undetermined, strict=True)
        ]
        write(document, out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        document = _head("gate", image_report(report))
        document["verdict"] = {
            "status": report.verdict.status.value,
            "policy": report.verdict.policy,
            "summary": report.verdict.summary,
            "inputs": plain(report.verdict.inputs),
        }
        parts = zip(image_report(report).parts, report.verdict.platform_verdicts, strict=True)
        document["platforms"] = [
            {**_platform(part), **_verdict_fields(part, platform_verdict)} for part, platform_verdict in parts
        ]
        write(document, out)

    def inventory(self, report: InventoryReport, out: TextIO) -> None:
        document = _head("inventory", image_report(report))
        document["platforms"] = [_platform(part) for part in image_report(report).parts]
        write(document, out)


REPORT: InventoryFormat = Json()


def _head(kind: str, report: ImageReport) -> Document:
    image = {"reference": report.reference, "digest": report.digest}
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "image": image}


def _platform(part: PlatformPart) -> Document:
    inventory = part.inventory
    return {
        "platform": part.platform,
        "manifest": part.manifest,
        "reported_by": (part.platform_verdict.source if part.platform_verdict else "") or None,
        "distribution": _distribution(inventory.distribution) if inventory and inventory.distribution else None,
        "layers": list(inventory.layers) if inventory else None,
        "base_layers": inventory.base_layers if inventory else None,
        "base": (inventory.base if inventory else "") or None,
        "created": (inventory.created if inventory else "") or None,
        "user": (inventory.user if inventory else "") or None,
        "packages": [_package(package, inventory) for package in inventory.packages] if inventory else None,
        "unread": plain(inventory.unread) if inventory else None,
    }


def _distribution(distribution: Distribution) -> Document:
    return {
        "id": distribution.id,
        "version": distribution.version,
        "name": distribution.name,
        "like": list(distribution.like),
        "support_end": distribution.support_end or None,
        "repository": distribution.repository or None,
    }


def _package(package: Package, inventory: Inventory) -> Document:
    return {
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "ecosystem": package.ecosystem,
        "source": {"name": package.source_name, "version": package.source_version},
        "arch": package.arch or None,
        "module": package.module or None,
        "vendor": package.vendor or None,
        "path": package.path,
        "layer": package.layer,
        "in_base": inventory.in_base(package) if inventory.base_layers else None,
        "owner": package.owner or None,
    }


def _verdict_fields(part: PlatformPart, platform_verdict: "PlatformVerdict") -> Document:
    return {
        "findings": _findings(part.findings, part),
        "undetermined": [
            {**plain(entry), "advice": advice_of(entry, part.manifest)} for entry in platform_verdict.undetermined
        ],
        "status": platform_verdict.status.value,
        "counts": platform_verdict.counts,
        "violations": _violations(platform_verdict.violations, part),
        "warnings": _violations(platform_verdict.warnings, part),
        "notes": _violations(platform_verdict.notes, part),
        "waived": [_waived(entry, part) for entry in platform_verdict.waived],
        "remediation": plain(platform_verdict.remediation),
    }


def _violations(violations: "Iterable[Violation]", part: PlatformPart) -> list[Document]:
    return [
        {"rule": violation.rule, "message": violation.message, "findings": _findings(violation.findings, part)}
        for violation in violations
    ]


def _waived(waived: "AppliedWaiver", part: PlatformPart) -> Document:
    return {
        "kind": waived.kind,
        "by": waived.by,
        "owner": waived.owner,
        "reason": waived.reason,
        "until": waived.until or None,
        "finding": _finding(waived.finding, part) if waived.finding else None,
        "violation": waived.violation or None,
        "unread": waived.unread or None,
    }


def _findings(findings: Iterable[Finding], part: PlatformPart) -> list[Document]:
    return [_finding(finding, part) for finding in findings]


def _finding(finding: Finding, part: PlatformPart) -> Document:
    package, rating = finding.package, finding.rating
    return {
        "id": finding.id,
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "score": rating.score if rating.score >= 0 else None,
        "vector": rating.vector or None,
        "rated_by": rating.source or None,
        "package": {
            "name": package.name,
            "version": package.version,
            "purl": package.purl,
            "path": package.path,
            "layer": package.layer,
            "in_base": part.in_base(package),
        },
        "fixed": finding.fixed or None,
        "state": finding.state.value,
        "note": finding.note or None,
        "disputed": finding.disputed,
        "reachable": finding.reachable or None,
        "known_exploited_since": finding.exploited or None,
        "due": finding.due or None,
        "epss": {"score": finding.epss, "percentile": finding.percentile} if finding.epss >= 0 else None,
        "malicious": finding.malicious,
        "published": finding.published or None,
        "summary": finding.summary,
    }
