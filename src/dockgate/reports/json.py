"""JSON for programs: stable within a `schema_version`; keys may be added. Sizes are counts, times RFC 3339 in UTC.

Common to the documents ("scan", "gate", "inventory"): `schema_version`, `kind`, `image` {`reference`, `digest`} and
`platforms`, each of which has
- `platform` ("linux/amd64"), `manifest` (its digest); `reported_by` another scanner, whose findings these are, or null;
- `distribution`: null, or `id`, `version`, `name`, `like` (the IDs it derives from), `support_end` (YYYY-MM-DD or
  null), `repository` (the release that its package repositories serve, or null);
- `layers` (digests from the base up), `base_layers` (how many of them are the base image's, 0 where nothing tells),
  `base` (its name), `created` and `user` (the image config's; null where it does not say);
- `packages`, each with `name`, `version`, `purl`, `ecosystem` (OSV's, with its release), `source` {`name`, `version`}
  (what advisories speak of), `arch`, `module` (an rpm's), `vendor` (who made a package in a distribution's form that is
  not the distribution's own, or null), `path` (the file that told of it), `layer` (a digest), `in_base` (null where
  nothing tells where the base image ends) and `owner` (the distribution's package that owns it, or null);
- `unread`, each with `path`, `reason` (a sentence) and `layer`.

"scan" adds `coverage`, each with `ecosystem`, `complete` and `checked_at`. "scan" and "gate" add to each platform
- `findings`, each with `id`, `aliases`, `severity`, `score` and `vector` (CVSS), `rated_by` (whose rating won),
  `package` {`name`, `version`, `purl`, `path`, `layer`, `in_base`}, `fixed` (the lowest version that is free of it),
  `state` ("fixed", "unfixed", "won't fix", "end of life", or "not told" where only affected versions are listed),
  `note` (the distribution's own word), `disputed`, `reachable` ("yes" or "no": whether a Go program holds one of the
  packages that the advisory names), `known_exploited_since` and `due` (CISA KEV, YYYY-MM-DD),
  `epss` {`score`, `percentile`} (0 to 1), `malicious`, `published`, `summary`; null for what is not known;
- `undetermined`, each with `subject`, `reason`, `kind`, `ids` (the vulnerabilities in doubt, where it is those) and
  `advice` (of a verdict: the next step, in sentences).

"gate" adds `verdict` {`status`, `policy`, `summary`, `inputs`}, and to each platform `status`, `counts` (by severity);
- `violations`, `warnings` and `notes`, each with `rule`, `message` and `findings`;
- `waived`, each with `kind` ("waiver" or "vex"), `by`, `owner`, `reason`, `until`, and `finding` or `violation`,
  with `unread` (a path or package) where `violation` is about unread content;
- `remediation` {`upgrades`, each with `package` (a purl), `name`, `version`, `fixed`, `clears` (ids) and `base`;
`turns`,
  `smallest`, `obstacles` (each with `reason`, `id`, `package`), `commands` and `base_commands`}: see
  docs/reference/verdicts.md.
Where the inventory is not at hand, as with a verdict looked up without it, all that is the inventory's is null.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from dockgate.gate.next_steps import advice_of
from dockgate.reports import SCHEMA_VERSION, Bill, GateReport, InventoryReport, ScanReport
from dockgate.reports._document import Document, write
from dockgate.reports._parts import Part, Whole, whole
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.shared.canonical import plain
from dockgate.vulnerabilities.model import Finding

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver, PlatformVerdict, Violation


class Json:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        document = _head("scan", whole(report))
        document["coverage"] = [
            {"ecosystem": one.ecosystem, "complete": one.complete, "checked_at": one.checked_at}
            for one in report.coverage
        ]
        undetermined = [matches.undetermined for _, matches in report.platforms]
        document["platforms"] = [
            {**_held(part), "findings": _findings(part.findings, part), "undetermined": plain(doubts)}
            for part, doubts in zip(whole(report).parts, undetermined, strict=True)
        ]
        write(document, out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        document = _head("gate", whole(report))
        document["verdict"] = {
            "status": report.verdict.status.value,
            "policy": report.verdict.policy,
            "summary": report.verdict.summary,
            "inputs": plain(report.verdict.inputs),
        }
        parts = zip(whole(report).parts, report.verdict.platform_verdicts, strict=True)
        document["platforms"] = [{**_held(part), **_judged(part, platform_verdict)} for part, platform_verdict in parts]
        write(document, out)

    def inventory(self, report: InventoryReport, out: TextIO) -> None:
        document = _head("inventory", whole(report))
        document["platforms"] = [_held(part) for part in whole(report).parts]
        write(document, out)


REPORT: Bill = Json()


def _head(kind: str, report: Whole) -> Document:
    image = {"reference": report.reference, "digest": report.digest}
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "image": image}


def _held(part: Part) -> Document:
    held = part.inventory
    return {
        "platform": part.platform,
        "manifest": part.manifest,
        "reported_by": (part.platform_verdict.source if part.platform_verdict else "") or None,
        "distribution": _distribution(held.distribution) if held and held.distribution else None,
        "layers": list(held.layers) if held else None,
        "base_layers": held.base_layers if held else None,
        "base": (held.base if held else "") or None,
        "created": (held.created if held else "") or None,
        "user": (held.user if held else "") or None,
        "packages": [_package(package, held) for package in held.packages] if held else None,
        "unread": plain(held.unread) if held else None,
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


def _judged(part: Part, platform_verdict: "PlatformVerdict") -> Document:
    return {
        "findings": _findings(part.findings, part),
        "undetermined": [
            {**plain(one), "advice": advice_of(one, part.manifest)} for one in platform_verdict.undetermined
        ],
        "status": platform_verdict.status.value,
        "counts": platform_verdict.counts,
        "violations": _violations(platform_verdict.violations, part),
        "warnings": _violations(platform_verdict.warnings, part),
        "notes": _violations(platform_verdict.notes, part),
        "waived": [_waived(one, part) for one in platform_verdict.waived],
        "remediation": plain(platform_verdict.remediation),
    }


def _violations(violations: "Iterable[Violation]", part: Part) -> list[Document]:
    return [{"rule": one.rule, "message": one.message, "findings": _findings(one.findings, part)} for one in violations]


def _waived(one: "AppliedWaiver", part: Part) -> Document:
    return {
        "kind": one.kind,
        "by": one.by,
        "owner": one.owner,
        "reason": one.reason,
        "until": one.until or None,
        "finding": _finding(one.finding, part) if one.finding else None,
        "violation": one.violation or None,
        "unread": one.unread or None,
    }


def _findings(findings: Iterable[Finding], part: Part) -> list[Document]:
    return [_finding(finding, part) for finding in findings]


def _finding(finding: Finding, part: Part) -> Document:
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
