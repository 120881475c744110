"""CycloneDX 1.6 as JSON, with vulnerabilities.

`metadata.component` is the image. An index has its platforms as components of their own, each holding its packages.
Properties that begin with "dockgate:" hold what CycloneDX has no field for. A vulnerability is listed once for all
packages with the same data. `analysis` holds waivers (without a state) and VEX statements: a scanner cannot say whether
an affected package is exploitable.

Written without cyclonedx-python-lib, whose import takes longer than half a scan; the tests validate against its schema.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from dockgate.reports import InventoryFormat
from dockgate.reports import _properties as properties
from dockgate.reports import _wording as wording
from dockgate.reports._document import Document, drop_empty, make_urn, write
from dockgate.reports._image_report import TOOL, VERSION, ImageFormat, ImageReport, PlatformPart, build_image_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.shared.digest import Digest
from dockgate.vulnerabilities.model import Finding, Severity

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedExemption

_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MEDIUM: "medium",
    Severity.LOW: "low",
    Severity.INFORMATIONAL: "info",
    Severity.UNTRIAGED: "unknown",
}
_METHODS = {"CVSS:3.0": "CVSSv3", "CVSS:3.1": "CVSSv31", "CVSS:4.0": "CVSSv4"}
_STATES: dict[str | None, str] = {"not_affected": "not_affected", "fixed": "resolved"}


def _write(report: ImageReport, output: TextIO) -> None:
    write(_build_document(report), output)


REPORT: InventoryFormat = ImageFormat(_write)


def _build_document(report: ImageReport) -> Document:
    images: list[Document] = []
    vulnerabilities: list[Document] = []
    for part in report.parts:
        image, part_vulnerabilities = _build_part(report, part)
        images.append(image)
        vulnerabilities += part_vulnerabilities
    if report.is_single_manifest:
        (component,) = images
        components = component.pop("components", [])
    else:
        component, components = _build_image(report, report.digest), images
    content = {
        "metadata": {
            "timestamp": report.created_at,
            "tools": {"components": [{"type": "application", "name": TOOL, "version": VERSION}]},
            "component": component,
            "properties": _build_properties(properties.list_report_properties(report)),
        },
        "components": components,
        "compositions": _build_compositions(report),
        "vulnerabilities": vulnerabilities,
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": make_urn(content),
        "version": 1,
        **content,
    }


def _build_part(report: ImageReport, part: PlatformPart) -> tuple[Document, list[Document]]:
    """One platform's image with its packages as components, and their vulnerabilities."""
    prefix = "" if report.is_single_manifest else f"{part.manifest}/"
    refs: dict[Package, str] = {}
    counts: dict[str, int] = {}
    for package in part.packages:
        counts[package.purl] = number = counts.get(package.purl, 0) + 1
        refs[package] = prefix + package.purl + (f"#{number}" if number > 1 else "")
    image = _build_image(report, part.manifest, part)
    inventory = part.inventory
    system = [_build_system(inventory.distribution, prefix)] if inventory and inventory.distribution else []
    image["components"] = [*system, *(_build_component(package, ref) for package, ref in refs.items())]
    return image, list(_build_vulnerabilities(part, refs, image["bom-ref"]))


def _build_image(report: ImageReport, digest: str, part: PlatformPart | None = None) -> Document:
    algorithm, content = Digest.parse(digest)
    return drop_empty(
        **{"bom-ref": _make_image_ref(digest, part)},
        type="container",
        name=report.reference,
        version=digest,
        purl=build_image_purl(report.reference, digest, part.platform if part else None) if digest else "",
        hashes=[{"alg": "SHA-256", "content": content}] if algorithm == "sha256" and len(content) == 64 else [],
        properties=_build_properties(properties.list_part_properties(part)) if part else [],
    )


def _make_image_ref(digest: str, part: PlatformPart | None) -> str:
    return f"{digest} {part.platform or ''}" if part else digest or "image"


def _build_system(distribution: Distribution, prefix: str) -> Document:
    return drop_empty(
        **{"bom-ref": f"{prefix}os:{distribution.id}@{distribution.version}"},
        type="operating-system",
        name=distribution.id,
        version=distribution.version,
        description=distribution.name,
        properties=_build_properties(properties.list_distribution_properties(distribution)),
    )


def _build_component(package: Package, ref: str) -> Document:
    return drop_empty(
        **{"bom-ref": ref},
        type="library",
        name=package.name,
        version=package.version,
        purl=package.purl,
        supplier=drop_empty(name=package.vendor),
        properties=_build_properties(properties.list_package_properties(package)),
    )


def _build_compositions(report: ImageReport) -> list[Document]:
    """Return whether each image was read completely."""
    refs: dict[bool, list[str]] = {}
    for part in report.parts:
        is_complete = part.inventory is not None and not part.inventory.unread
        refs.setdefault(is_complete, []).append(_make_image_ref(part.manifest, part))
    return [
        {"aggregate": "complete" if is_complete else "incomplete", "assemblies": images}
        for is_complete, images in refs.items()
    ]


def _build_vulnerabilities(part: PlatformPart, refs: dict[Package, str], image: str) -> Iterable[Document]:
    broken_rules = part.broken_rules
    groups: dict[tuple[Finding, tuple[str, ...], str, AppliedExemption | None], list[Package]] = {}
    for finding in part.findings:
        general, waiver = part.strip_package(finding)
        key = general, broken_rules.get(finding, ()), wording.describe_remediation(finding), waiver
        groups.setdefault(key, []).append(finding.package)
    for (finding, rules, advice, waiver), packages in groups.items():
        state = _STATES.get(wording.derive_vex_status(waiver))
        analysis = drop_empty(state=state, detail=wording.describe_waiver(waiver)) if waiver else {}
        yield drop_empty(
            id=finding.id,
            source=_build_source(finding.id),
            references=[{"id": alias, "source": _build_source(alias)} for alias in finding.aliases],
            ratings=[_build_rating(finding)],
            description=finding.summary,
            recommendation=advice,
            published=finding.published,
            analysis=analysis,
            affects=[
                drop_empty(
                    ref=refs.get(package, image),
                    versions=[
                        drop_empty(version=package.version, status="affected"),
                        *([drop_empty(version=finding.fixed, status="unaffected")] if finding.fixed else []),
                    ],
                )
                for package in dict.fromkeys(packages)
            ],
            properties=_build_properties(properties.list_finding_properties(finding, rules)),
        )


def _build_source(identity: str) -> Document:
    return drop_empty(name="OSV", url=wording.build_advisory_url(identity))


def _build_rating(finding: Finding) -> Document:
    rating = finding.rating
    return drop_empty(
        source=drop_empty(name=rating.source),
        score=rating.score,
        severity=_SEVERITIES[finding.severity],
        method="other" if rating.score is None or not rating.vector else _METHODS.get(rating.vector[:8], "CVSSv2"),
        vector=rating.vector,
    )


def _build_properties(pairs: Iterable[tuple[str, str]]) -> list[Document]:
    return [{"name": name, "value": text} for name, text in pairs]
